// SPDX-License-Identifier: GPL-3.0-or-later
// The server: login, list of feeds, the stream of one feed, orders. The stream is only read.

export async function login(token) {
  const answer = await fetch("api/login", {method: "POST", headers: {"content-type": "application/json"},
    body: JSON.stringify({token})});
  return answer.ok;
}

export async function feeds() {
  const answer = await fetch("api/feeds");
  if (answer.status === 401) return null;
  if (!answer.ok) throw new Error(`the server says ${answer.status}`);
  return answer.json();
}

// Throws an Error with the server's line if the order is refused.
export async function order(feed, content) {
  const answer = await fetch(`api/feeds/${encodeURIComponent(feed)}/order`, {method: "POST",
    headers: {"content-type": "application/json"}, body: JSON.stringify(content)});
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error || `the server says ${answer.status}`);
}

// Alerts of the history from before a time
export async function past(feed, until) {
  const answer = await fetch(`api/feeds/${encodeURIComponent(feed)}/past?until=${until}`);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error || `the server says ${answer.status}`);
  return answer.json();
}

export const snippet = (feed, event, form) => `api/feeds/${encodeURIComponent(feed)}/snippets/${encodeURIComponent(event)}/${form}`;

// Follows a feed; connects again when the connection is lost. take: {text(object), rows(ArrayBuffer), state("open" | "lost")}.
export class Stream {
  constructor(feed, take) {
    this.feed = feed;
    this.take = take;
    this.closed = false;
    this.tries = 0;
    this.connect();
  }

  connect() {
    const url = new URL(`api/feeds/${encodeURIComponent(this.feed)}/live`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    const socket = this.socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onmessage = message => {
      this.tries = 0;
      if (typeof message.data === "string") this.take.text(JSON.parse(message.data));
      else this.take.rows(message.data);
    };
    socket.onopen = () => this.take.state("open");
    socket.onclose = () => {
      if (this.closed) return;
      this.take.state("lost");
      this.timer = setTimeout(() => this.connect(), Math.min(10000, 500 * 2 ** this.tries++));
    };
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket.close();
  }
}
