"use strict";
// Photos that are dropped, pasted, chosen or picked are sent one after another; each answer, HTML
// of the server's, takes its place on the page. What is chosen next takes the place of all.

const drop = document.querySelector("#drop");
const input = drop.querySelector("input");
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

async function ask(photo) {
  if (photo.size > Number(drop.dataset.maxBytes)) {
    return article(photo.name, drop.dataset.tooLarge, "error");
  }
  try {
    const address = `classify?name=${encodeURIComponent(photo.name)}`;
    const response = await fetch(address, { method: "POST", body: photo });
    const text = await response.text();
    if (!response.ok) return article(photo.name, text, "error");
    const answer = document.createElement("template");
    answer.innerHTML = text;
    return answer.content;
  } catch {
    const text = "There is no answer: the file cannot be read, or the page's program has ended.";
    return article(photo.name, text, "error");
  }
}

async function show(photos) {
  if (!photos.length) return;
  const mine = ++turn;
  const places = photos.map((photo) => article(photo.name, "is looked at …", ""));
  places.forEach((place) => place.setAttribute("aria-busy", "true"));
  answers.replaceChildren(...places);
  for (const [index, photo] of photos.entries()) {
    const answer = await ask(photo);
    if (mine !== turn) return;
    places[index].replaceWith(answer);
  }
}

input.addEventListener("change", () => {
  show([...input.files]);
  input.value = ""; // so that the same photo can be chosen again
});

document.addEventListener("paste", (event) => {
  const photos = [...(event.clipboardData?.files ?? [])];
  if (photos.length) event.preventDefault();
  show(photos);
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
  show([...event.dataTransfer.files]);
});

document.querySelectorAll("#examples button").forEach((button) => {
  button.addEventListener("click", async () => {
    const image = button.querySelector("img");
    try {
      const response = await fetch(image.src);
      show([new File([await response.blob()], button.dataset.name)]);
    } catch {
      show([new File([], button.dataset.name)]);
    }
  });
});
