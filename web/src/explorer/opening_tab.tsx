// The tab that is open when the explorer starts. GraphiQL fills it with what was edited last, so a tab that nobody has
// edited yet opens without its variables: this puts them in.
import { useGraphiQL } from "@graphiql/react";
import { useEffect } from "react";

export function OpeningTab() {
  const query = useGraphiQL((state) => state.queryEditor);
  const variables = useGraphiQL((state) => state.variableEditor);
  const tab = useGraphiQL((state) => state.tabs[state.activeTabIndex]);

  useEffect(() => {
    if (!query || !variables || !tab?.variables || variables.getValue() !== "") return;
    // Both, because GraphiQL finds the tab again by the pair when the page is loaded anew.
    query.setValue(tab.query ?? "");
    variables.setValue(tab.variables);
    // Only when the editors open: emptying one later is the reader's choice.
  }, [query, variables]);

  return null;
}
