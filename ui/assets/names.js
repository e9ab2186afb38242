// Names that Gradio's widgets lack: of a place for files, what it shows and what it is for.
const words = (node) => (node ? node.textContent.replace(/\s+/g, ' ').trim() : '');
const name = () => {
  for (const node of document.querySelectorAll('button.upload-container[aria-label]:not([data-named])')) {
    const label = node.closest('.block')?.querySelector('label');
    node.dataset.named = '';
    node.setAttribute('aria-label', [words(node), words(label)].filter(Boolean).join(': '));
  }
};
new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
name();
