// How the pages are built: one HTML file for each, everything they load hashed under /static/.
import { defineConfig } from "vite";

export default defineConfig({
  build: {
    assetsDir: "static",
    modulePreload: { polyfill: false },
    // Nothing in a style or script as data: the pages' policy takes files only.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    // The editor is one chunk of several megabytes, fetched once and cached for good.
    chunkSizeWarningLimit: 4096,
    rolldownOptions: {
      input: ["index.html", "graphql.html"],
      // Libraries mark modules for React servers; there is none here.
      checks: { moduleLevelDirective: false },
    },
  },
  // The GraphQL worker loads its formatter on demand, which only ES modules can do.
  worker: { format: "es" },
});
