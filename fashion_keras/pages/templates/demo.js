"use strict";
// Photos that are dropped, pasted, chosen or picked are sent one after another; each answer, HTML
// of the server's, takes its place on the page. What is chosen next takes the place of all.
// Where the model takes titles, the text of the field goes with each photo, or alone.

const drop = document.querySelector("#drop");
const input = drop.querySelector("input");
const field = document.querySelector("#text");
const answers = document.querySelector("#answers");
let turn = 0;

function article(name, text, kind) {
  const element = document.createElement("article");
  element.className = "photo";
  element.setAttribute("aria-label", name);
  const heading = element.appendChild(document.createElement("h2"));
  heading.textContent = name;
  const line = element.appendChild(document.createElement("p"));
  line.textContent = text;
  line.className = kind;
  return element;
}

async function ask({ name, photo, title }) {
  if (photo && photo.size > Number(drop.dataset.maxBytes)) {
    return article(name, drop.dataset.tooLarge, "error");
  }
  try {
    const text = new TextEncoder().encode(title);
    const response = photo
      ? await fetch(`classify?name=${encodeURIComponent(name)}`, {
          method: "POST",
          body: new Blob([text, photo]),
          headers: text.length ? { "Title-Bytes": text.length } : {},
        })
      : await fetch("classify-title", { method: "POST", body: text });
    const answered = await response.text();
    if (!response.ok) return article(name, answered, "error");
    const answer = document.createElement("template");
    answer.innerHTML = answered;
    return answer.content;
  } catch {
    const text = "There is no answer: the file cannot be read, or the page's program has ended.";
    return article(name, text, "error");
  }
}

async function show(products) {
  if (!products.length) return;
  const mine = ++turn;
  const places = products.map(({ name }) => article(name, "is looked at …", ""));
  places.forEach((place) => place.setAttribute("aria-busy", "true"));
  answers.replaceChildren(...places);
  for (const [index, product] of products.entries()) {
    const answer = await ask(product);
    if (mine !== turn) return;
    places[index].replaceWith(answer);
  }
}

function showPhotos(photos) {
  const title = field?.value.trim() ?? "";
  show(photos.map((photo) => ({ name: photo.name, photo, title })));
}

function showTitle() {
  const title = field.value.trim();
  if (title) show([{ name: "A title alone", title }]);
  else field.focus();
}

document.querySelector("#title button")?.addEventListener("click", showTitle);
field?.addEventListener("keydown", (event) => {
  // Enter also ends the choice of a character, such as a Japanese one.
  if (event.key === "Enter" && !event.isComposing) showTitle();
});

input.addEventListener("change", () => {
  showPhotos([...input.files]);
  input.value = ""; // so that the same photo can be chosen again
});

document.addEventListener("paste", (event) => {
  const photos = [...(event.clipboardData?.files ?? [])];
  if (photos.length) event.preventDefault();
  showPhotos(photos);
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  showPhotos([...event.dataTransfer.files]);
});

document.querySelectorAll("#examples button").forEach((button) => {
  button.addEventListener("click", async () => {
    const image = button.querySelector("img");
    try {
      const response = await fetch(image.src);
      showPhotos([new File([await response.blob()], button.dataset.name)]);
    } catch {
      showPhotos([new File([], button.dataset.name)]);
    }
  });
});
