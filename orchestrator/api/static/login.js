// The one-time login: exchanges the code of a login address for a key.

const LOGIN = "#login=";

export const isLogin = (hash) => hash.startsWith(LOGIN);

/** Exchanges the code of the page's address, which it removes from the address first. */
export class Login {
  #code = "";
  #refusal = "";
  #server;
  #dialogs;
  constructor(server, dialogs) {
    [this.#server, this.#dialogs] = [server, dialogs];
    if (!isLogin(location.hash)) return;
    // No code is longer.
    this.#code = location.hash.slice(LOGIN.length, 1000);
    history.replaceState(null, "", "#/");
  }

  /** Exchange the code, if there is one; throws if the server does not answer, and keeps the code. */
  async exchange() {
    if (!this.#code) return;
    try {
      const { key } = await this.#server.post("/login", { code: this.#code });
      if (key) this.#server.keepKey(key);
    } catch (error) {
      if (!(error.status < 500)) throw error;
      this.#refusal = error.message;
    }
    this.#code = "";
  }

  /** Report a refused code once the page is live without it. */
  live() {
    if (this.#refusal) this.#dialogs.tell("Not logged in again", `${this.#refusal} This page continues with the access it has.`);
    this.#refusal = "";
  }

  /** Ask for a key; a refused code is the reason, if there is one. */
  askForKey(why, done) {
    this.#dialogs.key(this.#refusal || why, this.#server.keepKey, done);
    this.#refusal = "";
  }
}
