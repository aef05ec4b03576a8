// The module: puts all calls together. There is no state, so every worker thread loads its own copy
// and nothing has to be freed when a thread ends.
#include "calls.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  ferry::AddFileCalls(env, exports);
  ferry::AddExtentCalls(env, exports);
  ferry::AddCopyCalls(env, exports);
  ferry::AddLockCalls(env, exports);
  ferry::AddBlockDeviceCalls(env, exports);
  ferry::AddMemoryCalls(env, exports);
  ferry::AddSocketCalls(env, exports);
  ferry::AddConstants(env, exports);
  return exports;
}

NODE_API_MODULE(ferry_native, Init)
