/** Opening sources and targets: what is checked, what is left behind, and what others do at the worst moment. */

import { execFileSync } from 'node:child_process';
import { existsSync, renameSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { link, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { MiB } from '../../../shared/units.js';
import { ControlBlock } from '../../../workers/control.js';
import { guardedIo } from '../../../workers/guarded-io.js';
import { loadNative, type NativeIo } from '../../../workers/native/index.js';
import { closeStorage } from '../../../workers/storage/close.js';
import type { SourceHandle, TargetHandle } from '../../../workers/storage/handle.js';
import { openSource, openTarget } from '../../../workers/storage/open.js';
import { readRange } from '../../helpers/bytes.js';
import { failure } from '../../helpers/failure.js';
import { FaultyIo } from '../../helpers/faulty-io.js';
import { attachLoop, needsLoop } from '../../helpers/loop.js';
import { request } from '../../helpers/targets.js';
import { tempDir } from '../../helpers/temp.js';
import { openPaths } from '../../helpers/transfer.js';

describe('workers: opening a target', function () {
  this.timeout(30_000);
  let before: string[];

  beforeEach(() => {
    before = openPaths();
  });

  afterEach('no descriptor is left open', () => {
    expect(openPaths()).to.deep.equal(before);
  });

  it('makes a file that only its owner may read, of the size asked for, and knows it reads as zeroes', async () => {
    await using dir = await tempDir();
    await withTarget(request('file', dir.join('new'), 5000), (target) => {
      expect(target).to.include({ kind: 'file', size: 5000, created: true, readsZero: true, sectorSize: 4096 });
    });
    const { size, mode, blocks } = statSync(dir.join('new'));
    expect({ size, mode: mode & 0o777, blocks }).to.deep.equal({ size: 5000, mode: 0o600, blocks: 0 });
  });

  it('gives an existing file the size asked for, and does not think that it reads as zeroes', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('old'), 'old bytes');
    await withTarget(request('file', dir.join('old'), MiB), (target) => {
      expect(target).to.include({ size: MiB, created: false, readsZero: false });
    });
    expect(statSync(dir.join('old')).size).to.equal(MiB);
    expect((await readRange(dir.join('old'), 0, 9)).toString()).to.equal('old bytes');
  });

  it('believes a client who vouches that an existing file reads as zeroes', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('old'), Buffer.alloc(10));
    await withTarget({ ...request('file', dir.join('old'), 0), declaredZero: true }, (target) => {
      expect(target).to.include({ size: 10, created: false, readsZero: true });
    });
  });

  it('refuses a size below what is needed, and leaves no new file and no changed old one', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('old'), 'old bytes');
    for (const name of ['old', 'new']) {
      const error = await failure(() =>
        openTarget(loadNative(), { ...request('file', dir.join(name), MiB), neededBytes: MiB + 1 }),
      );
      expect(error.code).to.equal('TARGET_TOO_SMALL');
      expect(error.details).to.include({ field: 'target.size', path: dir.join(name) });
    }
    expect(existsSync(dir.join('new'))).to.equal(false);
    expect(statSync(dir.join('old')).size).to.equal(9);
  });

  it('leaves a file that it made to the next node when its lease ran out meanwhile', async () => {
    await using dir = await tempDir();
    const control = new ControlBlock();
    const io = Object.create(loadNative()) as NativeIo;
    io.lockFile = (...lock) => {
      loadNative().lockFile(...lock);
      control.writeUntil(1n);
    };
    const error = await failure(() => openTarget(guardedIo(control, io), request('file', dir.join('new'), MiB)));
    expect(error.code).to.equal('LEASE_LOST');
    expect(statSync(dir.join('new')).size).to.equal(0);
  });

  it('refuses an existing empty file when no size is known', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('empty'), '');
    const wanted = { ...request('file', dir.join('empty'), 0), neededBytes: 0 };
    expect((await failure(() => openTarget(loadNative(), wanted))).code).to.equal('TARGET_TOO_SMALL');
  });

  it('refuses the source itself, by its own name and by a hard link', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('source'), 'data');
    await link(dir.join('source'), dir.join('link'));
    await withSource(dir.join('source'), [dir.path], async (source) => {
      for (const name of ['source', 'link']) {
        const wanted = { ...request('file', dir.join(name), MiB), source: source.identity };
        expect((await failure(() => openTarget(loadNative(), wanted))).code).to.equal('TARGET_IS_SOURCE');
      }
    });
    expect(statSync(dir.join('source')).size).to.equal(4);
  });

  needsLoop('refuses the source device, by any name', async () => {
    await using dir = await tempDir();
    await using device = await attachLoop({ size: MiB });
    await symlink(device.path, dir.join('disk'));
    await withSource(device.path, [device.path], async (source) => {
      for (const path of [device.path, dir.join('disk')]) {
        const wanted = { ...request('block', path, 0), roots: [device.path], source: source.identity };
        expect((await failure(() => openTarget(loadNative(), wanted))).code).to.equal('TARGET_IS_SOURCE');
      }
    });
  });

  it('refuses a file that is open as a target already', async () => {
    await using dir = await tempDir();
    await withTarget(request('file', dir.join('new'), MiB), async () => {
      const error = await failure(() => openTarget(loadNative(), request('file', dir.join('new'), 2 * MiB)));
      expect(error.code).to.equal('TARGET_BUSY');
    });
    expect(statSync(dir.join('new')).size).to.equal(MiB);
    await withTarget(request('file', dir.join('new'), MiB), (target) => expect(target.created).to.equal(false));
  });

  it('never removes a file that somebody else took between making and locking it', async () => {
    // Symptom: the other job wrote to a file without a name and reported success. Cause: a failed open removed
    // whatever it had made, also when it never got the lock on it.
    await using dir = await tempDir();
    const real = loadNative();
    let theirs = -1;
    const faulty = new FaultyIo().before(
      'lockFile',
      once(() => {
        theirs = real.open(dir.join('new'), real.constants.O_RDWR);
        real.lockFile(theirs, true);
      }),
    );
    const error = await failure(() => openTarget(faulty.io, request('file', dir.join('new'), MiB)));
    real.close(theirs);
    expect(error.code).to.equal('TARGET_BUSY');
    expect(existsSync(dir.join('new'))).to.equal(true);
  });

  it('does not take a file that lost its name before it was locked', async () => {
    // As above, seen from the other side: who made the file gives up and removes it while we wait to lock it.
    await using dir = await tempDir();
    await writeFile(dir.join('old'), 'x');
    const faulty = new FaultyIo().before('lockFile', () => unlinkSync(dir.join('old')));
    const error = await failure(() => openTarget(faulty.io, request('file', dir.join('old'), MiB)));
    expect(error.code).to.equal('PATH_FORBIDDEN');
    expect(existsSync(dir.join('old'))).to.equal(false);
  });

  it('does not follow a symlink that replaced the file after it was checked', async () => {
    await using dir = await tempDir();
    await using outside = await tempDir();
    await writeFile(dir.join('old'), 'x');
    await writeFile(outside.join('secret'), 'secret');
    const faulty = new FaultyIo().before(
      'open',
      once(() => {
        unlinkSync(dir.join('old'));
        symlinkSync(outside.join('secret'), dir.join('old'));
      }),
    );
    expect((await failure(() => openTarget(faulty.io, request('file', dir.join('old'), MiB)))).code).to.equal(
      'PATH_FORBIDDEN',
    );
    expect(statSync(outside.join('secret')).size).to.equal(6);
  });

  it('does not go through a directory that a symlink replaced after it was checked', async () => {
    await using dir = await tempDir();
    await using outside = await tempDir();
    for (const name of ['old', 'new']) {
      const inside = dir.join(`dir-${name}`);
      await mkdir(inside);
      if (name === 'old') for (const path of [inside, outside.path]) await writeFile(`${path}/old`, 'x');
      const faulty = new FaultyIo().before(
        'open',
        once(() => {
          renameSync(inside, `${inside}-away`);
          symlinkSync(outside.path, inside);
        }),
      );
      const wanted = { ...request('file', `${inside}/${name}`, MiB), roots: [dir.path] };
      expect((await failure(() => openTarget(faulty.io, wanted))).code).to.equal('PATH_FORBIDDEN');
    }
    expect(existsSync(outside.join('new'))).to.equal(false);
    expect(statSync(outside.join('old')).size).to.equal(1);
  });

  it('says that somebody else made the file just now', async () => {
    await using dir = await tempDir();
    const faulty = new FaultyIo().before(
      'open',
      once(() => writeFileSync(dir.join('new'), 'theirs')),
    );
    expect((await failure(() => openTarget(faulty.io, request('file', dir.join('new'), MiB)))).code).to.equal(
      'TARGET_BUSY',
    );
    expect((await readRange(dir.join('new'), 0, 10)).toString()).to.equal('theirs');
  });

  it('removes the file it made when it cannot be given its size', async () => {
    await using dir = await tempDir();
    const faulty = new FaultyIo().refuse('ftruncate', 'EFBIG');
    const error = await failure(() => openTarget(faulty.io, request('file', dir.join('new'), MiB)));
    expect(error.code).to.equal('STORAGE_FULL');
    expect(existsSync(dir.join('new'))).to.equal(false);
  });

  it('goes without direct I/O, and says why, where opening or reading directly is refused', async () => {
    await using dir = await tempDir();
    const { O_DIRECT } = loadNative().constants;
    const opening = new FaultyIo().refuse('open', 'EINVAL', (_path, flags) => (flags & O_DIRECT) !== 0);
    const reading = new FaultyIo().refuse('pread', 'EINVAL');
    for (const [faulty, refusal] of [
      [opening, 'open was refused (EINVAL)'],
      [reading, 'a direct read was refused (EINVAL)'],
    ] as const) {
      await withTarget(
        request('file', dir.join('new'), MiB),
        (target) => expect(target).to.include({ directFd: null, directRefusal: refusal }),
        faulty.io,
      );
    }
  });
});

describe('workers: opening a source', () => {
  it('refuses an empty file', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('empty'), '');
    const wanted = { path: dir.join('empty'), roots: [dir.path] };
    expect((await failure(() => openSource(loadNative(), wanted))).code).to.equal('SOURCE_EMPTY');
  });

  it('does not wait for a FIFO that replaced the file after it was checked', async () => {
    // Symptom: the thread hung in open(2) until somebody wrote to the FIFO, which may be never.
    await using dir = await tempDir();
    await writeFile(dir.join('image'), 'x');
    const faulty = new FaultyIo().before(
      'open',
      once(() => {
        unlinkSync(dir.join('image'));
        execFileSync('mkfifo', [dir.join('image')]);
      }),
    );
    const before = openPaths();
    const wanted = { path: dir.join('image'), roots: [dir.path] };
    expect((await failure(() => openSource(faulty.io, wanted))).code).to.equal('PATH_FORBIDDEN');
    expect(openPaths()).to.deep.equal(before);
  });

  it('knows a file that was replaced by another one of the same name', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('a'), 'a');
    await writeFile(dir.join('b'), 'b');
    await withSource(dir.join('a'), [dir.path], async (first) => {
      await rename(dir.join('b'), dir.join('a'));
      await withSource(dir.join('a'), [dir.path], (second) => {
        expect(second.identity.id).to.not.equal(first.identity.id);
      });
    });
  });
});

async function withTarget(
  wanted: ReturnType<typeof request> & { declaredZero: boolean },
  look: (target: TargetHandle) => unknown,
  io: NativeIo = loadNative(),
): Promise<void> {
  const target = await openTarget(io, wanted);
  try {
    await look(target);
  } finally {
    closeStorage(io, target);
  }
}

async function withSource(path: string, roots: string[], look: (source: SourceHandle) => unknown): Promise<void> {
  const source = await openSource(loadNative(), { path, roots });
  try {
    await look(source);
  } finally {
    closeStorage(loadNative(), source);
  }
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    action();
  };
}
