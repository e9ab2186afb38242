// What slides in from the right: it opens at the passage, takes the focus, and gives it back when it closes.
const close = () => {
  if (!element.querySelector('.drawer')) return;
  props.value = '';
  if (window.lastCard && window.lastCard.isConnected) window.lastCard.focus();
};
element.addEventListener('click', (event) => {
  if (event.target.closest('[data-action="close"]')) close();
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') close();
});
watch('value', () => {
  const drawer = element.querySelector('.drawer');
  if (!drawer) return;
  drawer.querySelector('[data-action="close"]').focus();
  const passage = drawer.querySelector('#passage');
  if (passage) passage.scrollIntoView({ block: 'center' });
});
