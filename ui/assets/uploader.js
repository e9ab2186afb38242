// Sends chosen or dropped files, folders with their relative names, to /uploads/BATCH; the value is the batch's id.
const AT_ONCE = 3, SHOWN = 100;
const root = element.querySelector('.uploader');
const [list, said, left] = ['.staged', '.uploader-said', '.uploader-left'].map((name) => root.querySelector(name));
const limit = Number(root.dataset.megabytes) * 2 ** 20;
let batch = '', staged = [], skipped = [], waiting = [], sending = 0, total = 0;

const newBatch = () => { // crypto.randomUUID exists only where the connection is safe
  const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
};
const address = (name) => location.pathname.replace(/[^/]*$/, '') + 'uploads/' + batch + '?name=' + encodeURIComponent(name);
const line = (text, name) => {
  const item = document.createElement('li'), label = document.createElement('span');
  label.textContent = text;
  item.append(label);
  if (name !== undefined) {
    const button = document.createElement('button');
    Object.assign(button, { className: 'act', textContent: 'Remove' });
    button.setAttribute('aria-label', 'Remove ' + name);
    button.dataset.remove = name;
    item.append(button);
  }
  return item;
};
const show = () => {
  const busy = sending + waiting.length > 0;
  said.textContent = busy ? `sending: ${total - waiting.length - sending} of ${total}`
    : staged.length ? `${staged.length} ${staged.length === 1 ? 'file' : 'files'} ready` : '';
  list.replaceChildren(...staged.slice(0, SHOWN).map((name) => line(name, name)));
  if (staged.length > SHOWN) list.append(line(`and ${staged.length - SHOWN} more`));
  left.replaceChildren(...skipped.slice(0, SHOWN).map(([name, why]) => line(`left out: ${name}: ${why}`)));
  if (skipped.length > SHOWN) left.append(line(`and ${skipped.length - SHOWN} more were left out`));
  root.dataset.state = busy ? 'sending' : staged.length ? 'ready' : 'empty';
  const value = busy ? 'busy' : staged.length ? batch : '';
  if (props.value !== value) props.value = value;
};
const forget = () => { [batch, staged, skipped, waiting, total] = ['', [], [], [], 0]; show(); };

const sendOne = async ({ file, name }) => {
  const sent = batch;
  try {
    const headers = { 'content-type': 'application/octet-stream' };
    const answer = await fetch(address(name), { method: 'POST', body: file, headers });
    const text = await answer.text();
    let told;
    try { told = JSON.parse(text); } catch { told = { error: text.trim().slice(0, 200) }; }
    if (sent !== batch) return; // the form was sent or emptied meanwhile
    if (answer.ok) {
      staged.push(told.name);
      if (told.name !== name) skipped.push([name, `another file has this name, so that it is called ${told.name}`]);
    } else skipped.push([name, told.error]);
  } catch (error) {
    if (sent === batch) skipped.push([name, 'it could not be sent; choose it again']);
  }
};
const send = () => {
  while (sending < AT_ONCE && waiting.length) {
    sending += 1;
    sendOne(waiting.shift()).finally(() => { sending -= 1; send(); });
  }
  show();
};
const take = (files) => {
  batch = batch || newBatch();
  for (const { file, name } of files) {
    const hidden = name.split('/').some((part) => part.startsWith('.'));
    if (hidden) skipped.push([name, 'hidden']);
    else if (file.size > limit) skipped.push([name, `it has more than ${root.dataset.megabytes} MiB`]);
    else { waiting.push({ file, name }); total += 1; }
  }
  send();
};

const walk = async (entry, above, found) => {
  const name = above + entry.name;
  if (entry.isFile) found.push({ file: await new Promise((done, failed) => entry.file(done, failed)), name });
  if (!entry.isDirectory) return;
  const reader = entry.createReader();
  for (;;) { // a reader gives 100 entries at a time
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return;
    for (const below of some) await walk(below, name + '/', found);
  }
};

root.addEventListener('change', (event) => {
  if (event.target.type !== 'file') return;
  take([...event.target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
  event.target.value = '';
});
root.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.choose) root.querySelector(`input.${button.dataset.choose}`).click();
  const name = button.dataset.remove;
  if (name === undefined) return;
  fetch(address(name), { method: 'DELETE' });
  staged = staged.filter((known) => known !== name);
  show();
});
root.addEventListener('dragover', (event) => { event.preventDefault(); root.classList.add('over'); });
root.addEventListener('dragleave', () => root.classList.remove('over'));
root.addEventListener('drop', async (event) => {
  event.preventDefault();
  root.classList.remove('over');
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean), found = [];
  for (const entry of entries) await walk(entry, '', found);
  take(found);
});
watch('value', () => { if (!props.value && batch && sending + waiting.length === 0) forget(); }); // the form was sent
show();
