/** The client's side of a job: which offers it serves, and which failures another offer can help. */
import { expect } from 'chai';
import { type JobOffer, Offers, serveJob } from '../../../services/cli/images-client/job-client.js';
import { FerryError } from '../../../shared/errors.js';
import type { JobView } from '../../../shared/schemas/job.js';
import { failure } from '../../helpers/failure.js';
import { exampleJob } from './example-job.js';

function offering(url: string | null, durable: [number, number][] = [], state: JobView['state'] = 'active'): JobView {
  return { ...exampleJob(), state, upload: url === null ? null : { url, local: null, durable } };
}

const lost = new FerryError('TICKET_REFUSED', 'unknown');

describe('the client of a job', function () {
  this.timeout(10_000);

  it('waits for an offer, serves it, and is done when the job has ended', async () => {
    const offers = new Offers();
    const served: JobOffer[] = [];
    const work = serveJob({
      offers,
      serve: async (offer, reached) => {
        reached();
        served.push(offer);
        offers.heard(offering(null, [], 'completed'));
      },
    });
    offers.heard(offering(null, [], 'queued'));
    offers.heard(
      offering('http://a/1', [
        [0, 10],
        [20, 5],
      ]),
    );
    await work;
    expect(served).to.have.length(1);
    expect(served[0]).to.include({ url: 'http://a/1', local: null });
    expect(served[0]?.durable).to.deep.equal([0, 10, 20, 5]);
  });

  it('serves the next offer when one is gone, from what is durable then', async () => {
    const offers = new Offers();
    const served: JobOffer[] = [];
    offers.heard(offering('http://a/1'));
    await serveJob({
      offers,
      serve: async (offer, reached) => {
        reached();
        served.push(offer);
        offers.heard(served.length === 1 ? offering('http://b/2', [[0, 7]]) : offering(null, [], 'completed'));
        if (served.length === 1) throw lost;
      },
    });
    expect(served.map(({ url, durable }) => [url, durable])).to.deep.equal([
      ['http://a/1', []],
      ['http://b/2', [0, 7]],
    ]);
  });

  it('stops what it does for an offer as soon as the job offers another one, and not for other news', async () => {
    const offers = new Offers();
    const stopped: string[] = [];
    offers.heard(offering('http://a/1'));
    await serveJob({
      offers,
      serve: async ({ url, gone }, reached) => {
        reached();
        if (url === 'http://b/2') return offers.heard(offering(null, [], 'completed'));
        offers.heard(offering('http://a/1', [[0, 1]]));
        expect(gone.aborted).to.equal(false);
        offers.heard(offering('http://b/2'));
        stopped.push(url);
        gone.throwIfAborted();
      },
    });
    expect(stopped).to.deep.equal(['http://a/1']);
  });

  it('serves again when a job that had been told that all is sent offers anew', async () => {
    const offers = new Offers();
    const urls: string[] = [];
    offers.heard(offering('http://a/1'));
    const work = serveJob({
      offers,
      serve: async ({ url }, reached) => {
        reached();
        urls.push(url);
      },
    });
    await new Promise(setImmediate);
    offers.heard(offering('http://a/1', [[0, 1]]));
    await new Promise(setImmediate);
    expect(urls).to.deep.equal(['http://a/1']);
    offers.heard(offering('http://a/2'));
    await new Promise(setImmediate);
    offers.heard(offering(null, [], 'failed'));
    await work;
    expect(urls).to.deep.equal(['http://a/1', 'http://a/2']);
  });

  it('tells at once of a server that it has never reached', async () => {
    const offers = new Offers();
    offers.heard(offering('http://a/1'));
    const refused = new FerryError('NODE_UNAVAILABLE', 'nothing listens there');
    const error = await failure(() => serveJob({ offers, serve: () => Promise.reject(refused) }));
    expect(error).to.equal(refused);
  });

  it('loses patience with an offer that stays and never works again', async () => {
    const offers = new Offers();
    offers.heard(offering('http://a/1'));
    let tries = 0;
    const error = await failure(() =>
      serveJob({
        offers,
        patienceMs: 500,
        serve: async (_offer, reached) => {
          tries += 1;
          if (tries === 1) reached();
          throw lost;
        },
      }),
    );
    expect(error).to.equal(lost);
    expect(tries).to.equal(2);
  });

  it('does not try again what no other offer can help', async () => {
    const offers = new Offers();
    offers.heard(offering('http://a/1'));
    const full = new FerryError('SOURCE_CHANGED', 'it became shorter');
    const error = await failure(() =>
      serveJob({
        offers,
        serve: async (_offer, reached) => {
          reached();
          throw full;
        },
      }),
    );
    expect(error).to.equal(full);
  });

  it('ends when the job is not watched any more', async () => {
    const offers = new Offers();
    const work = serveJob({ offers, serve: async () => {} });
    offers.heard(offering(null, [], 'paused'));
    offers.close();
    await work;
  });
});
