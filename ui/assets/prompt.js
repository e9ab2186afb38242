// Copies the prompt as it is.
element.addEventListener('click', async (event) => {
  const node = event.target.closest('[data-action="copy"]');
  if (!node) return;
  await navigator.clipboard.writeText(element.querySelector('pre.prompt').textContent);
  node.textContent = 'Copied';
  setTimeout(() => { node.textContent = 'Copy'; }, 1500);
});
