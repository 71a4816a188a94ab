// A pasted photo goes where a chosen file would go.
document.addEventListener("paste", (event) => {
  const photos = [...(event.clipboardData?.files ?? [])];
  const input = document.querySelector("#fk-drop input[type=file]");
  if (!photos.length || !input) return;
  event.preventDefault();
  const chosen = new DataTransfer();
  photos.forEach((photo) => chosen.items.add(photo));
  input.files = chosen.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
