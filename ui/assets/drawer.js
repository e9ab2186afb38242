// What slides in from the right is a modal dialog: it opens at the passage and takes the focus, Tab stays inside, what is
// behind it is inert and does not scroll, and the focus returns to where it was when it closes.
let opener = null, hidden = [];
const shown = () => element.querySelector('.drawer');
const stops = (drawer) => [...drawer.querySelectorAll('button, a[href], input, summary, [tabindex="0"]')]
  .filter((node) => !node.disabled && node.offsetParent !== null);

const hideBehind = () => {
  for (let node = element.closest('#drawer') || element; node !== document.body; node = node.parentElement) {
    for (const other of node.parentElement.children) {
      if (other !== node && !other.inert && !['SCRIPT', 'STYLE'].includes(other.tagName)) {
        other.inert = true;
        hidden.push(other);
      }
    }
  }
  document.documentElement.classList.add('behind');
};

const showBehind = () => {
  for (const node of hidden) node.inert = false;
  hidden = [];
  document.documentElement.classList.remove('behind');
};

// The button that opened it; where hits were drawn anew meanwhile, the same one of the new ones.
const back = () => {
  if (!opener) return;
  const { node, chunk, action } = opener;
  opener = null;
  const same = () => [...document.querySelectorAll(`[data-action="${action}"]`)]
    .find((other) => other.closest('[data-chunk]')?.dataset.chunk === chunk);
  const to = node.isConnected ? node : same();
  if (to) to.focus();
};

const close = () => {
  if (!shown()) return;
  showBehind();
  back();
  props.value = '';
};

const open = () => {
  const drawer = shown();
  if (!drawer) {
    showBehind();
    opener = null;
    return;
  }
  if (!hidden.length) {
    const active = document.activeElement, node = active && active !== document.body ? active : window.lastCard;
    opener = node && { node, action: node.dataset.action, chunk: node.closest('[data-chunk]')?.dataset.chunk };
    hideBehind();
  }
  drawer.querySelector('[data-action="close"]').focus({ preventScroll: true });
  const passage = drawer.querySelector('#passage');
  if (passage) passage.scrollIntoView({ block: 'center' });
};

element.addEventListener('click', (event) => {
  if (event.target.closest('[data-action="close"]')) close();
});
document.addEventListener('keydown', (event) => {
  const drawer = shown();
  if (!drawer) return;
  if (event.key === 'Escape') close();
  if (event.key !== 'Tab') return;
  const all = stops(drawer), at = all.indexOf(document.activeElement), last = all.length - 1;
  if (at < 0 || at === (event.shiftKey ? 0 : last)) {
    event.preventDefault();
    all[event.shiftKey ? last : 0].focus();
  }
});
watch('value', open);
