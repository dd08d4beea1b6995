import sys,time
from playwright.sync_api import sync_playwright
url=sys.argv[1]
with sync_playwright() as p:
    b=p.chromium.launch(executable_path="/usr/bin/chromium",args=["--no-sandbox","--disable-gpu"])
    c=b.new_context(viewport={"width":1400,"height":900}); page=c.new_page()
    page.on("console",lambda m: print("console",m.type,m.text)); page.on("pageerror",lambda m: print("pageerror",m)); page.on("requestfailed",lambda r: print("failed",r.url)); page.on("request",lambda r: print("req",r.url[:100]))
    page.goto(url); page.wait_for_selector(".graphiql-query-editor .view-line"); time.sleep(3)
    page.screenshot(path="/tmp/h/e1.png")
    print(page.evaluate("typeof window.monaco"))
    for s in [".graphiql-tab",".graphiql-query-editor",".graphiql-editor-tool",".graphiql-response","button[aria-label*=Execute]"]:
        print(s,[ (e.inner_text()[:60],e.get_attribute("aria-label")) for e in page.query_selector_all(s)])
    print([ (e.inner_text()[:30],e.get_attribute("aria-label"),e.get_attribute("class")) for e in page.query_selector_all("button, [role=region], section, [role=tab]")])
    b.close()
