// The board's page: puts the board on it.
import "@fontsource-variable/fraunces/wght.css";
import "@fontsource-variable/inter/wght.css";
import { createRoot } from "react-dom/client";
import { Provider } from "urql";

import { api } from "./api";
import { Board } from "./board";
import "./board.css";

const place = document.getElementById("board");
if (place === null) throw new Error("The page has no place for the board.");
createRoot(place).render(
  <Provider value={api}>
    <Board />
  </Provider>,
);
