"use strict";
const steps = [...document.querySelectorAll(".step")];
const links = [...document.querySelectorAll(".tokens a")];
const buttons = [...document.querySelectorAll("button")];
let current = 0;

function target(by, diverging) {
  let place = current + by;
  while (diverging && steps[place] && !steps[place].classList.contains("diverges")) place += by;
  return steps[place] ? place : current;
}

function show(place) {
  current = place;
  steps.forEach((step, index) => { step.hidden = index !== place; });
  links.forEach((link, index) => {
    if (index === place) link.setAttribute("aria-current", "step");
    else link.removeAttribute("aria-current");
  });
  for (const button of buttons) {
    const nowhere = target(Number(button.dataset.by), "diverging" in button.dataset) === current;
    button.setAttribute("aria-disabled", String(nowhere));
  }
  history.replaceState(null, "", "#" + (place + 1));  // no element's id: nothing scrolls
}

function follow() {
  const place = Number(location.hash.replace(/^#(step-)?/, "")) - 1;
  show(steps[place] ? place : Math.max(0, steps.findIndex((step) => step.classList.contains("diverges"))));
}

links.forEach((link, index) => link.addEventListener("click", (event) => { event.preventDefault(); show(index); }));
buttons.forEach((button) => button.addEventListener("click", () => show(target(Number(button.dataset.by), "diverging" in button.dataset))));
document.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  show(target(by, event.shiftKey));
});
window.addEventListener("hashchange", follow);
document.querySelector(".controls").hidden = false;
follow();
