// Small comforts; every page works without them.
"use strict";

// A request by htmx that failed says so where the eyes are.
document.addEventListener("htmx:responseError", (event) => {
  tell(`That did not work (${event.detail.xhr.status}). Reload the page and try again.`);
});
document.addEventListener("htmx:sendError", () => tell("The server does not answer. Try again in a moment."));

function tell(message) {
  const place = document.getElementById("messages");
  const note = document.createElement("p");
  note.className = "note bad";
  note.textContent = message;
  place.replaceChildren(note);
}

// Ask before what cannot be taken back.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}, true);

// A filter applies when it is changed; without scripts its button does it.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-auto-submit]");
  if (form) form.requestSubmit();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
  button.textContent = "Copied";
});
for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
