// A query whose answer a component needs: asked again when the server is there again.
import { useEffect } from "react";
import { type AnyVariables, useQuery, type UseQueryArgs, type UseQueryResponse } from "urql";

import { useWatched } from "../watched";
import { link } from "./api";

export function useAsked<Data, Variables extends AnyVariables>(
  query: UseQueryArgs<Variables, Data>,
): UseQueryResponse<Data, Variables> {
  const [state, ask] = useQuery(query);
  const { phase } = useWatched(link);

  useEffect(() => {
    if (phase === "open" && state.error?.networkError) ask();
  }, [phase]);

  return [state, ask];
}
