"use strict";

// A button with data-copies="ID" puts the text of that element on the clipboard. Browsers offer the clipboard
// on https and localhost only; elsewhere the button selects the text, for the user to copy.
for (const button of document.querySelectorAll("button[data-copies]")) {
  const source = document.getElementById(button.dataset.copies);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
    }
  });
}
