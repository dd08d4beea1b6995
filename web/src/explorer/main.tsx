// The explorer's page: puts the explorer on it.
import "graphiql/setup-workers/vite";
import { createRoot } from "react-dom/client";

import { Explorer } from "./explorer";

const place = document.getElementById("explorer");
if (place === null) throw new Error("The page has no place for the explorer.");
createRoot(place).render(<Explorer />);
