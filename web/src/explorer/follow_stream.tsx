// The response pane of a running subscription: keeps its latest event in view.
import { useGraphiQL } from "@graphiql/react";
import { useEffect } from "react";

export function FollowStream() {
  const pane = useGraphiQL((state) => state.responseEditor);
  const streaming = useGraphiQL((state) => state.subscription !== null);

  useEffect(() => {
    if (pane === undefined || !streaming) return;
    const following = pane.onDidChangeModelContent(() => {
      pane.revealLine(pane.getModel()?.getLineCount() ?? 1);
    });
    return () => following.dispose();
  }, [pane, streaming]);

  return null;
}
