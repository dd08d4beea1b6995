// Below the response of a subscription: how its connection is doing.
import type { Link } from "../socket";
import { useWatched } from "../watched";
import { link } from "./fetcher";

export function ConnectionSign() {
  const { phase, attempt } = useWatched(link);
  return (
    <p className={`connection ${phase}`} role="status">
      {say({ phase, attempt })}
    </p>
  );
}

function say({ phase, attempt }: Link): string {
  switch (phase) {
    case "idle":
      return "No subscription is running";
    case "connecting":
      return "Connecting …";
    case "open":
      return "Connected by graphql-transport-ws";
    case "lost":
      return attempt > 1 ? `Connection lost, attempt ${attempt} …` : "Connection lost …";
  }
}
