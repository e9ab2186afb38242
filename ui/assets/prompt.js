// Copies the prompt as it is; on a narrow screen a new one is brought up.
element.addEventListener('click', async (event) => {
  const node = event.target.closest('[data-action="copy"]');
  if (!node) return;
  await navigator.clipboard.writeText(element.querySelector('pre.prompt').textContent);
  node.textContent = 'Copied';
  setTimeout(() => { node.textContent = 'Copy'; }, 1500);
});
watch('value', () => {
  if (element.querySelector('pre.prompt') && matchMedia('(max-width: 760px)').matches) element.scrollIntoView();
});
