// Buttons of jobs: cancel, resume.
element.addEventListener('click', (event) => {
  const node = event.target.closest('[data-action]');
  if (!node) return;
  node.disabled = true;
  trigger('click', { action: node.dataset.action, value: node.dataset.value });
});
