// Where the reader is: the world and what is open beside the list, kept in the page's address.
import { Watched } from "../watched";
import { recall, remember } from "./memory";

const FIRST_WORLD = "eldoria";
const WORLD_KEY = "lorekeeper.world";

export interface Place {
  world: string;
  /** The job whose page is open. */
  job: string | null;
  /** Whether the form for a new one is. */
  isCreating: boolean;
}

function read(): Place {
  const query = new URLSearchParams(window.location.search);
  return {
    world: query.get("world") || recall("local", WORLD_KEY) || FIRST_WORLD,
    job: query.get("job"),
    isCreating: query.has("new"),
  };
}

export const place = new Watched<Place>(read());

window.addEventListener("popstate", () => place.set(read()));

/** The address of another place. */
export function addressOf(changes: Partial<Place>): string {
  const { world, job, isCreating } = { ...place.get(), ...changes };
  const query = new URLSearchParams({ world, ...(job && { job }), ...(isCreating && { new: "" }) });
  return `?${query.toString().replace(/=(?=&|$)/g, "")}`;
}

/** Go to another place; the browser's back button leads here again. */
export function go(changes: Partial<Place>): void {
  if (changes.world !== undefined) remember("local", WORLD_KEY, changes.world);
  const address = addressOf(changes);
  if (address !== window.location.search) window.history.pushState(null, "", address);
  place.set(read());
}
