/** Which format a file is taken for: by its header, and only where that cannot lead us to another file. */
import { writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { formatOf } from '../../../services/cli/local-storage/image-format.js';
import { patternBytes } from '../../helpers/bytes.js';
import { run } from '../../helpers/command.js';
import { failure } from '../../helpers/failure.js';
import { needsCommands } from '../../helpers/needs.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';

describe('the format of an image', function () {
  this.timeout(10_000);
  let dir: TempDir;

  before(async () => {
    dir = await tempDir();
  });

  after(() => dir.release());

  const needsQemu = needsCommands('qemu-img');

  async function made(name: string, ...args: string[]): Promise<string> {
    await run('qemu-img', ['create', '-q', ...args, dir.join(name), ...(args.includes('-b') ? [] : ['1M'])]);
    return dir.join(name);
  }

  it('is raw where nothing else is said, also of a file shorter than a header', async () => {
    for (const content of [patternBytes(1, 4096), Buffer.alloc(4096), Buffer.from('QF')]) {
      await writeFile(dir.join('raw'), content);
      expect(await formatOf(dir.join('raw'))).to.equal('raw');
    }
  });

  needsQemu('is qcow2 where the header says so', async () => {
    expect(await formatOf(await made('plain.qcow2', '-f', 'qcow2'))).to.equal('qcow2');
    expect(await formatOf(await made('old.qcow2', '-f', 'qcow2', '-o', 'compat=0.10'))).to.equal('qcow2');
  });

  needsQemu('must be said of a qcow2 that has other files behind it', async () => {
    const base = await made('base.qcow2', '-f', 'qcow2');
    const backed = await made('backed.qcow2', '-f', 'qcow2', '-b', base, '-F', 'qcow2');
    const external = await made('external.qcow2', '-f', 'qcow2', '-o', `data_file=${dir.join('data')}`);
    for (const path of [backed, external]) {
      const error = await failure(() => formatOf(path));
      expect(error.code).to.equal('NOT_SUPPORTED');
      expect(error.message).to.include('--format qcow2').and.include('--format raw');
    }
  });

  for (const format of ['vmdk', 'vhdx', 'vdi']) {
    needsQemu(`must be said of ${format}`, async () => {
      const error = await failure(async () => formatOf(await made(`a.${format}`, '-f', format)));
      expect(error.code).to.equal('NOT_SUPPORTED');
      expect(error.message).to.include(`--format ${format}`);
    });
  }

  it('is not known of a file that is not there', async () => {
    expect((await failure(() => formatOf(dir.join('missing')))).code).to.equal('PATH_NOT_FOUND');
  });
});
