// One function a source file: it adds its calls, each named and documented in ../index.ts, to the module's exports.
#pragma once

#include <napi.h>

namespace ferry {

void AddFileCalls(Napi::Env env, Napi::Object exports);
void AddExtentCalls(Napi::Env env, Napi::Object exports);
void AddCopyCalls(Napi::Env env, Napi::Object exports);
void AddLockCalls(Napi::Env env, Napi::Object exports);
void AddBlockDeviceCalls(Napi::Env env, Napi::Object exports);
void AddBatchCalls(Napi::Env env, Napi::Object exports);
void AddNbdCalls(Napi::Env env, Napi::Object exports);
void AddMemoryCalls(Napi::Env env, Napi::Object exports);
void AddSocketCalls(Napi::Env env, Napi::Object exports);
void AddConstants(Napi::Env env, Napi::Object exports);

}  // namespace ferry
