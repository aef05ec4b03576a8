// NBD through libnbd: one call here is one request to the server, waited for with a limit.
// Connections live in one table of the process, since the library is loaded once for all threads: an id is valid on
// every thread, like a file descriptor. A connection serves one call at a time; another thread waits for its turn.
// A server that does not answer in time loses the connection: an answer that came later would be written into memory
// that is used for something else by then. Facts: libnbd(3), the NBD protocol's doc/proto.md.
#include <libnbd.h>

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "args.h"
#include "calls.h"
#include "errors.h"

namespace ferry {
namespace {

using Clock = std::chrono::steady_clock;

// What became of an option. Its callback says so: afterwards the connection negotiates on, whether it was taken or refused.
struct Option {
  bool done = false;
  int error = 0;
  std::string text;
  std::vector<std::string> names;
};

struct Connection {
  nbd_handle* handle = nullptr;
  int timeout_ms = 0;
  // Here, not on a stack: libnbd may write to it for as long as the handle lives.
  Option option;
  std::mutex turn;
  ~Connection() { Drop(); }
  void Drop() {
    if (handle != nullptr) nbd_close(handle);
    handle = nullptr;
  }
};

std::mutex table_lock;
std::map<int, std::shared_ptr<Connection>> table;
int next_id = 1;

std::shared_ptr<Connection> Find(const Napi::CallbackInfo& info) {
  const int id = ReadInt(info, 0, "connection");
  const std::lock_guard<std::mutex> lock(table_lock);
  const auto found = table.find(id);
  if (found == table.end()) throw SystemError(info.Env(), EBADF, "nbd");
  return found->second;
}

// What libnbd said last on this thread.
Napi::Error LastError(Napi::Env env, const char* call) {
  const int error = nbd_get_errno();
  const char* text = nbd_get_error();
  // No system call and no answer of the server: what came was not NBD.
  Napi::Error thrown = SystemError(env, error != 0 ? error : EPROTO, call);
  if (text != nullptr) thrown.Set("detail", Napi::String::New(env, text));
  return thrown;
}

bool IsGone(const Connection& connection) {
  return nbd_aio_is_dead(connection.handle) == 1 || nbd_aio_is_closed(connection.handle) == 1;
}

// Lets the connection work until `done` says so. @returns false when the time is over
template <typename Done>
bool Wait(Napi::Env env, Connection& connection, const char* call, Done done) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(connection.timeout_ms);
  while (!done()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      connection.Drop();
      throw SystemError(env, ETIMEDOUT, call);
    }
    if (nbd_poll(connection.handle, static_cast<int>(left)) == -1) {
      const Napi::Error error = LastError(env, call);
      connection.Drop();
      throw error;
    }
  }
  return true;
}

// One request: `start` sends it and gives its cookie.
template <typename Start>
void Request(const Napi::CallbackInfo& info, Connection& connection, const char* call, Start start) {
  const std::lock_guard<std::mutex> lock(connection.turn);
  // Of a dead connection libnbd would say EINVAL: not a state for requests.
  if (connection.handle == nullptr || IsGone(connection)) throw SystemError(info.Env(), ENOTCONN, call);
  const int64_t cookie = start(connection.handle);
  if (cookie == -1) throw LastError(info.Env(), call);
  int completed = 0;
  bool dead = false;
  Wait(info.Env(), connection, call, [&] {
    completed = nbd_aio_command_completed(connection.handle, cookie);
    // Of a command that is still under way a dead connection says nothing: nobody will answer it.
    dead = completed == 0 && IsGone(connection);
    return completed != 0 || dead;
  });
  if (dead) {
    connection.Drop();
    throw SystemError(info.Env(), ENOTCONN, call);
  }
  if (completed == -1) throw LastError(info.Env(), call);
}

bool Is(Napi::Env env, int answer, const char* call) {
  if (answer == -1) throw LastError(env, call);
  return answer == 1;
}

void Check(Napi::Env env, int answer, const char* call) {
  if (answer == -1) throw LastError(env, call);
}

void AwaitConnected(Napi::Env env, Connection& connection) {
  Wait(env, connection, "nbd_connect", [&] {
    if (IsGone(connection)) throw LastError(env, "nbd_connect");
    return nbd_aio_is_ready(connection.handle) == 1 || nbd_aio_is_negotiating(connection.handle) == 1;
  });
}

int AddName(void* option, const char* name) {
  static_cast<Option*>(option)->names.push_back(name);
  return 0;
}

int EndOption(void* data, int* error) {
  Option* option = static_cast<Option*>(data);
  option->done = true;
  option->error = *error;
  const char* text = *error != 0 ? nbd_get_error() : nullptr;
  option->text = text != nullptr ? text : "";
  return 0;
}

// @throws when the server hung up instead of answering, or did not answer in time
void AwaitOption(Napi::Env env, Connection& connection) {
  Wait(env, connection, "nbd_connect", [&] {
    if (connection.option.done) return true;
    if (IsGone(connection)) throw SystemError(env, ENOTCONN, "nbd_connect");
    return false;
  });
  if (IsGone(connection)) throw SystemError(env, ENOTCONN, "nbd_connect");
}

// All contexts that the export offers and whose names begin with `prefix`; a server without structured replies has none.
std::vector<std::string> ListContexts(Napi::Env env, Connection& connection, const std::string& prefix) {
  nbd_handle* handle = connection.handle;
  Check(env, nbd_clear_meta_contexts(handle), "nbd_clear_meta_contexts");
  Check(env, nbd_add_meta_context(handle, prefix.c_str()), "nbd_add_meta_context");
  connection.option = Option();
  nbd_context_callback found = {&AddName, &connection.option, nullptr};
  nbd_completion_callback completed = {&EndOption, &connection.option, nullptr};
  if (nbd_aio_opt_list_meta_context(handle, found, completed) == -1) return {};
  AwaitOption(env, connection);
  return connection.option.names;
}

// A context that ends in ':' stands for all of that kind which the export offers.
std::vector<std::string> Negotiate(Napi::Env env, Connection& connection, const std::vector<std::string>& wanted) {
  nbd_handle* handle = connection.handle;
  std::vector<std::string> contexts;
  for (const std::string& name : wanted) {
    if (name.back() != ':') {
      contexts.push_back(name);
      continue;
    }
    for (const std::string& found : ListContexts(env, connection, name)) contexts.push_back(found);
  }
  Check(env, nbd_clear_meta_contexts(handle), "nbd_clear_meta_contexts");
  for (const std::string& name : contexts) Check(env, nbd_add_meta_context(handle, name.c_str()), "nbd_add_meta_context");
  connection.option = Option();
  nbd_completion_callback completed = {&EndOption, &connection.option, nullptr};
  Check(env, nbd_aio_opt_go(handle, completed), "nbd_opt_go");
  AwaitOption(env, connection);
  const Option& option = connection.option;
  if (option.error != 0) {
    Napi::Error refused = SystemError(env, option.error, "nbd_opt_go");
    refused.Set("detail", Napi::String::New(env, option.text));
    throw refused;
  }
  return contexts;
}

Napi::Object Describe(Napi::Env env, nbd_handle* handle, const std::vector<std::string>& contexts) {
  Napi::Object facts = Napi::Object::New(env);
  const int64_t size = nbd_get_size(handle);
  if (size == -1) throw LastError(env, "nbd_get_size");
  const auto block = [&](int which) {
    const int64_t bytes = nbd_get_block_size(handle, which);
    return Napi::Number::New(env, bytes > 0 ? static_cast<double>(bytes) : 0);
  };
  facts.Set("size", Napi::Number::New(env, static_cast<double>(size)));
  facts.Set("readOnly", Is(env, nbd_is_read_only(handle), "nbd_is_read_only"));
  facts.Set("canMultiConn", Is(env, nbd_can_multi_conn(handle), "nbd_can_multi_conn"));
  facts.Set("canZero", Is(env, nbd_can_zero(handle), "nbd_can_zero"));
  facts.Set("canFastZero", Is(env, nbd_can_fast_zero(handle), "nbd_can_fast_zero"));
  facts.Set("canFlush", Is(env, nbd_can_flush(handle), "nbd_can_flush"));
  facts.Set("minimumBlock", block(LIBNBD_SIZE_MINIMUM));
  facts.Set("maximumBlock", block(LIBNBD_SIZE_MAXIMUM));
  Napi::Array negotiated = Napi::Array::New(env);
  for (const std::string& name : contexts) {
    if (nbd_can_meta_context(handle, name.c_str()) == 1) negotiated.Set(negotiated.Length(), name);
  }
  facts.Set("contexts", negotiated);
  return facts;
}

Napi::Value Connect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string uri = ReadPath(info, 0, "uri");
  if (!info[1].IsArray()) throw Napi::TypeError::New(env, "contexts must be an array of strings");
  const Napi::Array names = info[1].As<Napi::Array>();
  std::vector<std::string> wanted;
  for (uint32_t at = 0; at < names.Length(); at += 1) {
    const Napi::Value name = names[at];
    if (!name.IsString()) throw Napi::TypeError::New(env, "contexts must be an array of strings");
    wanted.push_back(name.As<Napi::String>().Utf8Value());
  }
  const auto connection = std::make_shared<Connection>();
  connection->timeout_ms = ReadInt(info, 2, "timeoutMs");
  connection->handle = nbd_create();
  nbd_handle* handle = connection->handle;
  if (handle == nullptr) throw LastError(env, "nbd_create");
  // The server decides about the bytes, never about files of this machine or other kinds of transport.
  Check(env, nbd_set_uri_allow_transports(handle, LIBNBD_ALLOW_TRANSPORT_TCP | LIBNBD_ALLOW_TRANSPORT_UNIX), "nbd");
  Check(env, nbd_set_uri_allow_tls(handle, LIBNBD_TLS_DISABLE), "nbd");
  Check(env, nbd_set_uri_allow_local_file(handle, false), "nbd");
  // All of a buffer is written before it is used: we check what the server says.
  Check(env, nbd_set_pread_initialize(handle, false), "nbd");
  Check(env, nbd_set_opt_mode(handle, true), "nbd");
  if (nbd_aio_connect_uri(handle, uri.c_str()) == -1) {
    // Not even a system call failed: nobody knows the host's name.
    if (nbd_get_errno() == 0) throw SystemError(env, EHOSTUNREACH, "nbd_connect");
    throw LastError(env, "nbd_connect");
  }
  AwaitConnected(env, *connection);
  std::vector<std::string> contexts;
  // An oldstyle server has no options: it is ready at once.
  if (nbd_aio_is_negotiating(handle) == 1) contexts = Negotiate(env, *connection, wanted);
  Napi::Object facts = Describe(env, handle, contexts);
  const std::lock_guard<std::mutex> lock(table_lock);
  const int id = next_id++;
  table[id] = connection;
  facts.Set("id", Napi::Number::New(env, id));
  return facts;
}

Napi::Value Close(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Connection> connection = Find(info);
  {
    const std::lock_guard<std::mutex> lock(table_lock);
    table.erase(ReadInt(info, 0, "connection"));
  }
  const std::lock_guard<std::mutex> lock(connection->turn);
  if (connection->handle != nullptr) {
    // Says goodbye; what a server that is gone thinks of it does not matter.
    nbd_aio_disconnect(connection->handle, 0);
    connection->Drop();
  }
  return info.Env().Undefined();
}

Napi::Value Read(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Connection> connection = Find(info);
  const Span span = ReadSlice(info, 1);
  const uint64_t position = ReadBytes(info, 4, "position");
  Request(info, *connection, "nbd_pread", [&](nbd_handle* handle) {
    return nbd_aio_pread(handle, span.data, span.length, position, NBD_NULL_COMPLETION, 0);
  });
  return info.Env().Undefined();
}

Napi::Value Write(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Connection> connection = Find(info);
  const Span span = ReadSlice(info, 1);
  const uint64_t position = ReadBytes(info, 4, "position");
  Request(info, *connection, "nbd_pwrite", [&](nbd_handle* handle) {
    return nbd_aio_pwrite(handle, span.data, span.length, position, NBD_NULL_COMPLETION, 0);
  });
  return info.Env().Undefined();
}

Napi::Value Zero(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Connection> connection = Find(info);
  const uint64_t start = ReadBytes(info, 1, "start");
  const uint64_t length = ReadBytes(info, 2, "length");
  const uint32_t no_hole = ReadBool(info, 3, "noHole") ? LIBNBD_CMD_FLAG_NO_HOLE : 0;
  const uint32_t fast = ReadBool(info, 4, "fast") ? LIBNBD_CMD_FLAG_FAST_ZERO : 0;
  Request(info, *connection, "nbd_zero", [&](nbd_handle* handle) {
    return nbd_aio_zero(handle, length, start, NBD_NULL_COMPLETION, no_hole | fast);
  });
  return info.Env().Undefined();
}

Napi::Value Flush(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Connection> connection = Find(info);
  Request(info, *connection, "nbd_flush",
          [&](nbd_handle* handle) { return nbd_aio_flush(handle, NBD_NULL_COMPLETION, 0); });
  return info.Env().Undefined();
}

struct Extents {
  std::string context;
  std::vector<double> pairs;
};

int AddExtents(void* data, const char* context, uint64_t, uint32_t* entries, size_t count, int*) {
  Extents* extents = static_cast<Extents*>(data);
  if (extents->context == context) extents->pairs.insert(extents->pairs.end(), entries, entries + count);
  return 0;
}

Napi::Value BlockStatus(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Connection> connection = Find(info);
  const uint64_t start = ReadBytes(info, 1, "start");
  const uint64_t length = ReadBytes(info, 2, "length");
  Extents extents;
  extents.context = ReadPath(info, 3, "context");
  Request(info, *connection, "nbd_block_status", [&](nbd_handle* handle) {
    nbd_extent_callback callback = {&AddExtents, &extents, nullptr};
    return nbd_aio_block_status(handle, length, start, callback, NBD_NULL_COMPLETION, 0);
  });
  Napi::Float64Array packed = Napi::Float64Array::New(info.Env(), extents.pairs.size());
  for (size_t at = 0; at < extents.pairs.size(); at += 1) packed[at] = extents.pairs[at];
  return packed;
}

}  // namespace

void AddNbdCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("nbdConnect", Napi::Function::New<Connect>(env, "nbdConnect"));
  exports.Set("nbdClose", Napi::Function::New<Close>(env, "nbdClose"));
  exports.Set("nbdRead", Napi::Function::New<Read>(env, "nbdRead"));
  exports.Set("nbdWrite", Napi::Function::New<Write>(env, "nbdWrite"));
  exports.Set("nbdZero", Napi::Function::New<Zero>(env, "nbdZero"));
  exports.Set("nbdFlush", Napi::Function::New<Flush>(env, "nbdFlush"));
  exports.Set("nbdBlockStatus", Napi::Function::New<BlockStatus>(env, "nbdBlockStatus"));
}

}  // namespace ferry
