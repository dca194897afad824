(() => {
  const token = document.body.dataset.token, live = document.getElementById("live"), said = document.getElementById("said");
  let version = document.body.dataset.version;

  async function refresh() {
    try {
      const answer = await fetch("state"), now = await answer.json();
      if (!answer.ok) { said.textContent = now.said; }
      else if (now.version !== version) {
        const focused = document.activeElement && document.activeElement.getAttribute("aria-label");
        const scrolled = [...live.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
        version = now.version;
        live.innerHTML = now.content;
        live.querySelectorAll(".scroll").forEach((each, i) => { if (scrolled[i]) [each.scrollLeft, each.scrollTop] = scrolled[i]; });
        if (focused) { const again = live.querySelector(`[aria-label="${CSS.escape(focused)}"]`); if (again) again.focus(); }
        document.title = (live.querySelector("h1") || {}).textContent || document.title;
        cards();
      }
    } catch (error) { said.textContent = "The command that serves this page has ended."; }
    setTimeout(refresh, 2000);
  }

  // On a narrow screen a table becomes a block for each row, in which each value has its column's name.
  function cards() {
    for (const table of live.querySelectorAll("table")) {
      const names = [...table.tHead.rows[0].cells].map((each) => each.textContent);
      for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, i) => { cell.dataset.label = names[i]; });
      table.classList.remove("cards");
      table.classList.toggle("cards", table.scrollWidth > table.parentElement.clientWidth + 1 && innerWidth <= 640);
    }
  }

  live.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-action]");
    if (!button || (button.dataset.sure && !confirm(button.dataset.sure))) return;
    button.disabled = true;
    try {
      const answer = await fetch("ask", {
        method: "POST", headers: { "Content-Type": "application/json", "X-Token": token },
        body: JSON.stringify({ action: button.dataset.action, trial: button.dataset.trial || null }),
      });
      said.textContent = (await answer.json()).said;
    } catch (error) { said.textContent = "The command that serves this page has ended."; }
  });

  addEventListener("resize", cards);
  cards();
  setTimeout(refresh, 2000);
})();
