"use strict";

// Lists on phones, and tables in forms, where a row is a card: each value has the name of its column, and filters open by a
// button. Without this file the values have no names, and filters stand open.
for (const table of document.querySelectorAll("#result_list, .inline-group .tabular table")) {
  const names = [...table.querySelectorAll("thead th")].map((head) => (head.querySelector(".text") ?? head).textContent.trim());
  for (const row of table.querySelectorAll("tbody tr:not(.add-row)")) {
    [...row.cells].forEach((value, column) => {
      value.dataset.label = names[column] ?? "";
    });
  }
}

const filters = document.getElementById("changelist-filter");
if (filters !== null) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button filters-button";
  const clearing = filters.querySelector("#changelist-filter-extra-actions a:not(.viewlink, .hidelink)");
  button.textContent = clearing === null ? "Filters" : "Filters, some in use";
  button.setAttribute("aria-controls", filters.id);
  button.setAttribute("aria-expanded", "false");
  filters.classList.add("closed");
  button.addEventListener("click", () => {
    const isClosed = filters.classList.toggle("closed");
    button.setAttribute("aria-expanded", String(!isClosed));
  });
  filters.parentElement.prepend(button, filters);
}
