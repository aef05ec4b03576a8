// The module: puts all calls together. Calls on files keep no state but a thread's own (batch.cpp), so every worker thread
// loads its own copy and nothing has to be freed when it ends; what NBD keeps (nbd.cpp) belongs to the whole process.
#include "calls.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  ferry::AddFileCalls(env, exports);
  ferry::AddExtentCalls(env, exports);
  ferry::AddCopyCalls(env, exports);
  ferry::AddLockCalls(env, exports);
  ferry::AddBlockDeviceCalls(env, exports);
  ferry::AddBatchCalls(env, exports);
  ferry::AddNbdCalls(env, exports);
  ferry::AddMemoryCalls(env, exports);
  ferry::AddSocketCalls(env, exports);
  ferry::AddConstants(env, exports);
  return exports;
}

NODE_API_MODULE(ferry_native, Init)
