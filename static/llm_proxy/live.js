"use strict";

// The page of live requests: shows what the feed's WebSocket tells, and tells it what is wanted. Texts come from
// clients: they are only ever set as text.

const page = document.querySelector(".live");
const rows = document.getElementById("live-rows");
const pauseButton = document.getElementById("live-pause");
const state = document.getElementById("live-state");
const missedText = document.getElementById("live-missed");
const empty = document.getElementById("live-empty");
const runningPart = document.getElementById("live-running");
const runningCount = document.getElementById("live-running-count");
const runningRows = document.getElementById("live-running-rows");
const form = document.querySelector(".live-filters");

const MAX_ROWS = Number(page.dataset.maxRows);
const POLICY = 1008;
const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 15000;
const TYPING_MS = 250;

let socket = null;
let waitMs = FIRST_WAIT_MS;
let isPaused = false;
let isAway = false;
let missed = 0;
let filterNumber = 1;
let heardNumber = 0; // of the filter that the feed last told us it shows
let runningSince = 0;

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}${page.dataset.socket}`);
  socket.addEventListener("open", () => {
    waitMs = FIRST_WAIT_MS;
    isAway = false;
    heardNumber = 0;
    sendWish();
    showState();
  });
  socket.addEventListener("message", (event) => show(JSON.parse(event.data)));
  socket.addEventListener("close", (event) => {
    runningPart.hidden = true;
    if (event.code === POLICY) {
      state.textContent = "Ended: you are signed out, or may not see requests any more. Reload the page.";
      return;
    }
    state.textContent = "Not connected, trying again. If this stays, reload the page.";
    setTimeout(connect, waitMs);
    waitMs = Math.min(2 * waitMs, MAX_WAIT_MS);
  });
}

function wantedFilter() {
  const values = [...new FormData(form)].map(([name, value]) => [name, value.trim()]);
  return Object.fromEntries(values.filter(([, value]) => value !== ""));
}

function sendWish() {
  if (socket !== null && socket.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ filter: wantedFilter(), filter_number: filterNumber, is_paused: isPaused }));
  }
}

function showState() {
  if (isPaused) {
    state.textContent = "Paused";
  } else if (isAway) {
    state.textContent = "Redis does not answer: nothing can be shown until it does";
  } else if (heardNumber !== filterNumber) {
    state.textContent = "Connecting";
  } else {
    state.textContent = "Live";
  }
}

function show(message) {
  if (message.is_away !== isAway) {
    isAway = message.is_away;
    runningPart.hidden = true;
  }
  heardNumber = message.filter_number;
  showState();
  if (message.filter_number !== filterNumber) {
    return; // of the filter before
  }
  if (message.missed > 0) {
    missed += message.missed;
    missedText.textContent = `${missed} missed: they came faster than this page takes them`;
    missedText.hidden = false;
  }
  if (message.running !== null) {
    showRunning(message.running);
  }
  const added = document.createDocumentFragment();
  for (const request of message.rows.reverse()) {
    added.append(rowOf(request));
  }
  rows.prepend(added);
  while (rows.children.length > MAX_ROWS) {
    rows.lastElementChild.remove();
  }
  empty.hidden = rows.children.length > 0;
}

// The rows are those that began first; `at` is the server's clock, which ours may differ from.
function showRunning(running) {
  runningSince = running.at - performance.now() / 1000;
  const few = running.count > running.rows.length ? `, ${running.rows.length} of them here` : "";
  const verb = running.count === 1 ? "request runs" : "requests run";
  runningCount.textContent = `${running.is_exact ? "" : "At least "}${running.count} ${verb} now${few}`;
  runningRows.replaceChildren(...running.rows.map(runningRowOf));
  runningPart.hidden = false;
  showDurations();
}

function runningRowOf(request) {
  const row = document.createElement("tr");
  const duration = cell("Runs for", "");
  duration.dataset.startedAt = request.started_at;
  row.append(
    cell("Began (UTC)", instantOf(request)),
    ...whatItIs(request),
    duration,
  );
  return row;
}

function showDurations() {
  const now = runningSince + performance.now() / 1000;
  for (const element of runningRows.querySelectorAll("[data-started-at]")) {
    element.textContent = `${Math.max(0, now - Number(element.dataset.startedAt)).toFixed(0)} s`;
  }
}

function rowOf(request) {
  const row = document.createElement("tr");
  row.className = classOf(request);
  row.append(
    cell("Began (UTC)", began(request)),
    ...whatItIs(request),
    cell("Status", request.status === null ? "-" : String(request.status)),
    cell("Outcome", request.error_code === "" ? request.outcome : `${request.outcome}: ${request.error_code}`),
    cell("First byte", seconds(request.first_byte_seconds)),
    cell("Duration", seconds(request.duration_seconds)),
    cell("Model tokens", request.input_tokens === null && request.output_tokens === null
      ? "" : `${request.input_tokens ?? "?"} + ${request.output_tokens ?? "?"}`),
    cell("Cost in USD", request.usd === null ? "unpriced" : request.usd),
  );
  return row;
}

function whatItIs(request) {
  return [
    cell("Project", request.project),
    cell("Token", request.token === "" ? request.display : `${request.token} ${request.display}`),
    cell("Endpoint", `${request.method} ${request.endpoint || request.path}`),
    cell("Model", request.model),
  ];
}

function instantOf(request) {
  const time = document.createElement("time");
  const instant = new Date(request.started_at * 1000);
  time.dateTime = instant.toISOString();
  time.textContent = instant.toISOString().slice(11, 19);
  return time;
}

function began(request) {
  const time = instantOf(request);
  if (!request.is_kept) {
    return time;
  }
  const link = document.createElement("a");
  link.href = page.dataset.record.replace("00000000-0000-0000-0000-000000000000", request.id);
  link.append(time);
  return link;
}

// `label` is the column's name, which a narrow page shows beside each value.
function cell(label, content) {
  const element = document.createElement("td");
  element.dataset.label = label;
  element.append(content);
  return element;
}

function seconds(value) {
  return value === null ? "" : `${value.toFixed(value < 10 ? 3 : 1)} s`;
}

function classOf(request) {
  if (request.outcome === "refused" || (request.status >= 400 && request.status < 500)) {
    return "live-refused";
  }
  return request.outcome === "completed" && request.status < 500 ? "" : "live-failed";
}

function clear() {
  rows.replaceChildren();
  empty.hidden = false;
  missed = 0;
  missedText.hidden = true;
}

function rememberFilter() {
  const query = new URLSearchParams(wantedFilter()).toString();
  history.replaceState(null, "", query === "" ? location.pathname : `?${query}`);
}

for (const [name, value] of new URLSearchParams(location.search)) {
  if (form.elements.namedItem(name) !== null) {
    form.elements.namedItem(name).value = value;
  }
}

let typing = null;
form.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    filterNumber += 1;
    rememberFilter();
    clear();
    sendWish();
    showState();
  }, TYPING_MS);
});
form.addEventListener("submit", (event) => event.preventDefault());

pauseButton.addEventListener("click", () => {
  isPaused = !isPaused;
  pauseButton.setAttribute("aria-pressed", String(isPaused));
  sendWish();
  showState();
});

document.getElementById("live-clear").addEventListener("click", clear);

setInterval(() => {
  if (!isPaused) {
    showDurations();
  }
}, 1000);
connect();
