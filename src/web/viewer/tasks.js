// The task form and the list of tasks with what became of each.

import { byId, el, reconcile, setData, setText } from './dom.js';
import { handle } from './forms.js';

/** `hooks`: `give(body)` which gives a promise; `nameOf(agentId)` for the agents of a task. */
export function createTaskPanel(hooks) {
  const form = byId('task-form');

  handle(form, async (data) => {
    const description = data.get('description').trim();
    if (description === '') return 'Say what is to be done.';
    await hooks.give({ description, priority: data.get('priority'), strategy: data.get('strategy') });
    form.elements.description.value = '';
    return null;
  });

  function create() {
    return el(
      'li',
      { class: 'task' },
      el('p', { class: 'task-text' }),
      el('progress', { max: '1', 'aria-label': 'Progress' }),
      el('p', { class: 'task-facts' }, el('span', { class: 'pill' }), el('span')),
      el('p', { class: 'task-result' }),
    );
  }

  function update(item, task) {
    const [text, bar, facts, result] = item.children;
    setText(text, task.description);
    bar.hidden = typeof task.progress !== 'number';
    if (!bar.hidden) bar.value = task.progress;
    const [status, more] = facts.children;
    setText(status, task.status.replace('_', ' ') + (task.stage === 'unverified' ? ', unverified' : ''));
    setData(status, 'status', task.status);
    const names = (task.assigned_agents ?? []).map(hooks.nameOf);
    const known = typeof task.progress === 'number' ? `${Math.floor(task.progress * 100)} % done` : 'progress not known';
    const ended = ['completed', 'failed', 'cancelled'].includes(task.status);
    setText(more, [task.priority, ended ? null : known, names.join(', ')].filter(Boolean).join(' · '));
    const outcome = task.reason ?? task.result;
    result.hidden = !outcome;
    setText(result, outcome ?? '');
  }

  /** Shows the tasks, newest first. */
  function show(tasks) {
    const sorted = [...tasks].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    reconcile(byId('task-list'), sorted, (task) => task.id, create, update);
    byId('tasks-empty').hidden = tasks.length > 0;
    for (const id of ['task-total', 'tab-tasks']) setText(byId(id), tasks.length === 0 ? '' : String(tasks.length));
  }

  return { show };
}
