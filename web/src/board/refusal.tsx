// What stands in place of the jobs where the server refuses to show them.
import { type FormEvent, useId } from "react";

import { token } from "./api";

const TITLES: Partial<Record<string, string>> = {
  UNAUTHENTICATED: "Who are you?",
  FORBIDDEN: "This is closed to you",
  NOT_FOUND: "This world is closed to you",
};

interface Props {
  code: string;
  message: string;
}

export function Refusal({ code, message }: Props) {
  const id = useId();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const value = new FormData(event.currentTarget).get("token");
    if (typeof value === "string" && value.trim()) token.replace(value);
  }

  return (
    <div className="empty">
      <h2>{TITLES[code] ?? "The server refuses"}</h2>
      <p className="problem">{message}</p>
      <form onSubmit={submit}>
        <div className="field">
          <label htmlFor={id}>Bearer token (a JWT)</label>
          <input id={id} name="token" type="password" autoComplete="off" required />
          <small>
            Kept until this tab is closed. <code>python server.py token</code> makes one for development.
          </small>
        </div>
        <button type="submit" className="main">
          Enter
        </button>
      </form>
    </div>
  );
}
