// The address follows what is shown: each search is a visit in the history. Back and Forward ask the server for what the
// address names then, and what it answers leaves the history as it is.
const own = {}; // tab -> the address of its last search
let collection = '';

const params = (url = location.search) => new URLSearchParams(url);
const tabOf = (url) => {
  const tab = params(url).get('tab');
  return tab && document.getElementById(`tab-${tab}`) ? tab : 'search';
};
const within = (tab) => `?${new URLSearchParams(collection ? { tab, c: collection } : { tab })}`;
const moved = (url) => {
  const changed = params(url);
  changed.set('c', collection);
  for (const view of ['v', 'u']) changed.delete(view); // another collection has other ones
  return `?${changed}`;
};

const go = (url, replace) => {
  if (params(url).toString() === params().toString()) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', location.pathname + url);
};

// how: "" for a search that somebody made, "again" for one that the page made, "restored" after Back or Forward.
const follow = ([url, how]) => {
  const tab = tabOf(url), here = params().get('c');
  if (how !== 'restored' && collection && params(url).get('c') !== collection) { // asked before another one was chosen
    trigger('select', {});
    return;
  }
  own[tab] = url;
  if (how === 'restored' || tab !== tabOf()) return;
  if (!how) go(url);
  else if (!here || here === params(url).get('c')) go(url, true);
};

const visits = window.visits || [];
window.visits = { push: follow };
visits.forEach(follow);

watch('value', () => {
  const told = JSON.parse(props.value || '{}'), before = collection;
  collection = told.collection || '';
  for (const [tab, url] of Object.entries(own)) {
    if (params(url).get('c') === collection) continue;
    if (told.chosen && collection) own[tab] = moved(url);
    else delete own[tab];
  }
  if (told.chosen) go(own[tabOf()] || within(tabOf()), !before);
  if (told.chosen || (collection && document.querySelector('[data-awaited]'))) {
    setTimeout(() => trigger('select', {})); // once all parts are there: the searches are made again
  }
});

document.addEventListener('click', (event) => {
  if (!event.target.closest || !event.target.closest('#tabs .tab-wrapper')) return;
  setTimeout(() => { // once the tab is shown
    const shown = [...document.querySelectorAll('#tabs > .tabitem')].find((node) => node.offsetParent);
    const tab = shown ? shown.id.replace('tab-', '') : tabOf();
    if (tab !== tabOf()) go(own[tab] || within(tab));
  });
});

addEventListener('popstate', () => {
  const searched = Object.keys(own); // a tab that shows no search keeps what was typed into it
  if (!params().has('q')) delete own[tabOf()];
  trigger('submit', { searched });
});
