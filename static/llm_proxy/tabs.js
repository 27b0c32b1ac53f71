"use strict";

// The parts of a long form as tabs. Without this file they stand below each other.
const form = document.getElementById("project_form");
const parts = form ? [...form.querySelectorAll(":scope > div > fieldset.module, :scope > div > .inline-group")] : [];
const bar = document.createElement("div");
bar.className = "tabs";
bar.setAttribute("role", "tablist");

const tabs = parts.map((part, number) => {
  const tab = document.createElement("button");
  const heading = part.querySelector("h2");
  tab.type = "button";
  tab.id = `tab-${number}`;
  tab.textContent = heading ? heading.textContent.split("(")[0].trim().toLowerCase() : "general";
  tab.setAttribute("role", "tab");
  part.id ||= `part-${number}`;
  tab.setAttribute("aria-controls", part.id);
  part.setAttribute("role", "tabpanel");
  part.setAttribute("aria-labelledby", tab.id);
  tab.addEventListener("click", () => choose(number));
  bar.append(tab);
  return tab;
});

function choose(chosen) {
  tabs.forEach((tab, number) => {
    tab.setAttribute("aria-selected", number === chosen);
    tab.tabIndex = number === chosen ? 0 : -1;
    parts[number].hidden = number !== chosen;
  });
}

bar.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) {
    const next = (tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length;
    choose(next);
    tabs[next].focus();
  }
});

if (parts.length > 1) {
  parts[0].before(bar);
  const wrong = parts.findIndex((part) => part.querySelector(".errors, .errorlist"));
  choose(Math.max(0, wrong));
}
