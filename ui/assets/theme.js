// Light or dark: the button says what it does, and the choice is kept for the next visit.
const KEPT = 'instructor-search-theme';
const button = element.querySelector('#theme');
const isDark = () => document.body.classList.contains('dark');
const show = (dark) => {
  for (const node of [document.body, document.documentElement]) node.classList.toggle('dark', dark);
  const label = `Switch to the ${dark ? 'light' : 'dark'} theme`;
  button.setAttribute('aria-label', label);
  button.title = label;
};
button.addEventListener('click', () => {
  show(!isDark());
  localStorage.setItem(KEPT, isDark() ? 'dark' : 'light');
});
const asked = new URLSearchParams(location.search).get('__theme') || localStorage.getItem(KEPT);
show(asked ? asked === 'dark' : isDark()); // Gradio sets the system's once more after the page's head has set this
