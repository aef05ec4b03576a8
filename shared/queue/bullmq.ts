/**
 * What we use of BullMQ, brought in by require(). By import Node.js reads each of its hundreds of files a second time,
 * to find the names that they export: that took a fifth of the start of a server.
 */
import bullmq = require('bullmq');

export import DelayedError = bullmq.DelayedError;
export import Queue = bullmq.Queue;
export import QueueEvents = bullmq.QueueEvents;
export import UnrecoverableError = bullmq.UnrecoverableError;
export import WaitingError = bullmq.WaitingError;
export import Worker = bullmq.Worker;
