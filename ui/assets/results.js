// Cards of hits: clicks become events, arrows move, the address follows what is shown.
const send = (node) => {
  const card = node.closest('[data-chunk]');
  const root = element.querySelector('[data-asked]');
  trigger(node.dataset.action === 'try' ? 'select' : 'click', {
    action: node.dataset.action, chunk: card ? card.dataset.chunk : '', value: node.dataset.value || '',
    asked: root ? root.dataset.asked : '',
  });
};

const judge = async (button) => {
  const card = button.closest('[data-chunk]');
  const pressed = button.getAttribute('aria-pressed') === 'true';
  const asked = element.querySelector('[data-asked]').dataset.asked;
  const relevant = pressed ? null : button.dataset.action === 'up';
  for (const b of card.querySelectorAll('[aria-pressed]')) b.disabled = true;
  let said;
  try {
    said = await server.judge_hit({ asked, chunk: card.dataset.chunk, relevant });
  } catch (error) {
    said = { error: 'the server does not answer' };
  }
  for (const b of card.querySelectorAll('[aria-pressed]')) {
    b.disabled = false;
    if (!said.error) b.setAttribute('aria-pressed', String(relevant !== null && (b.dataset.action === 'up') === relevant));
  }
  const line = card.querySelector('.said');
  line.textContent = said.error || said.text;
};

element.addEventListener('click', async (event) => {
  const node = event.target.closest('[data-action]');
  if (!node || !element.contains(node)) return;
  if (node.dataset.action === 'link') {
    await navigator.clipboard.writeText(location.href);
    node.textContent = 'Link copied';
  } else if (node.dataset.action === 'up' || node.dataset.action === 'down') {
    judge(node);
  } else {
    window.lastCard = node;
    send(node);
  }
});

element.addEventListener('keydown', (event) => {
  if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
  const titles = [...element.querySelectorAll('.card .title')];
  const at = titles.findIndex((title) => title.closest('.card').contains(document.activeElement));
  const next = titles[at + (event.key === 'ArrowDown' ? 1 : -1)];
  if (at >= 0 && next) {
    event.preventDefault();
    next.focus();
  }
});

// What a search shows is told to visits.js, which keeps the address; on a narrow screen its hits are brought up.
const follow = () => {
  const root = element.querySelector('[data-url]'), marked = element.querySelector('[data-how]');
  const how = marked ? marked.dataset.how : '';
  if (root) (window.visits ||= []).push([root.dataset.url, how]);
  const says = element.querySelector('[data-url], .panel.error');
  if (says && !how && matchMedia('(max-width: 760px)').matches) element.scrollIntoView();
};
watch('value', follow);
follow();
