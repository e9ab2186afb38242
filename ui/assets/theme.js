// Light or dark: the button says what it does, and the choice is kept for the next visit.
const button = element.querySelector('#theme');
const name = () => {
  const label = `Switch to the ${document.body.classList.contains('dark') ? 'light' : 'dark'} theme`;
  button.setAttribute('aria-label', label);
  button.title = label;
};
button.addEventListener('click', () => {
  const dark = !document.body.classList.contains('dark');
  for (const node of [document.body, document.documentElement]) node.classList.toggle('dark', dark);
  localStorage.setItem('instructor-search-theme', dark ? 'dark' : 'light');
  name();
});
name();
