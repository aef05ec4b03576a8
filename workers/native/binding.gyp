# Builds ferry_native.node. It stands here and not at the root of the project, where `npm ci` would
# find it and try to build by itself; scripts/build-addon.sh does that with the right headers.
{
  'targets': [{
    'target_name': 'ferry_native',
    'sources': [
      'src/addon.cpp',
      'src/args.cpp',
      'src/block_device.cpp',
      'src/constants.cpp',
      'src/copy.cpp',
      'src/errors.cpp',
      'src/extents.cpp',
      'src/file.cpp',
      'src/lock.cpp',
      'src/memory.cpp',
      'src/nbd.cpp',
      'src/batch.cpp',
      'src/socket.cpp',
    ],
    'include_dirs': ["<!@(node -p \"require('node-addon-api').include_dir\")"],
    'libraries': ['-lnbd'],
    'defines': [
      'NAPI_VERSION=8',
      'NODE_ADDON_API_CPP_EXCEPTIONS',
      # A thread may be ending while its last call fails; without this, throwing then aborts the process.
      'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      '_FILE_OFFSET_BITS=64',
      '_GNU_SOURCE',
    ],
    'cflags_cc!': ['-fno-exceptions', '-fno-rtti'],
    'cflags_cc': ['-std=c++17', '-fexceptions', '-fvisibility=hidden', '-O3', '-Wall', '-Wextra', '-Wno-unused-parameter'],
  }],
}
