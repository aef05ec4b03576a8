/**
 * What Piscina loads on each thread. It loads by require(), and a thread that is ended while require() brings in an ES
 * module takes the whole process with it (Node.js 20: "IsGraphAsync must be used on an instantiated module"). import()
 * can be interrupted.
 */

import type { TaskName } from './tasks/contracts.js' with { 'resolution-mode': 'import' };
import type { TaskAnswer, TaskCall } from './thread.js' with { 'resolution-mode': 'import' };

// At once: the first task should not wait for it.
const thread = import('./thread.js');
// Whoever runs a task hears of it.
thread.catch(() => {});

module.exports = async (call: TaskCall<TaskName>): Promise<TaskAnswer<TaskName>> => (await thread).default(call);
