//! What to try by hand, as lines for a shell.

use anyhow::Result;

use crate::Stage;

/// Curl lines for everything that runs on `stage`.
pub fn tour(stage: &Stage) -> Result<String> {
    let front = stage.front()?;
    let admin = stage.weir.admin()?;
    let token = stage.secret.token("ann", 12 * 3600)?;
    let (v1, v2) = (stage.v1.address(), stage.v2.address());
    let config = stage.weir.path("weir.toml");
    let config = config.display();
    Ok(format!(
        r#"
Weir is running with four policies. In another shell:

  TOKEN={token}

Routing
  curl -i http://{front}/about                 # answered by the router itself
  curl -i http://{front}/nowhere               # 404: no route

Tokens
  curl -i http://{front}/users                 # 401
  curl -i http://{front}/users -H "Authorization: Bearer $TOKEN"

Canary: a tenth of the users see version 2, each always the same
  for user in $(seq 100); do
    curl -s http://{front}/users -H "Authorization: Bearer $TOKEN" -H "X-User: $user"
  done | sort | uniq -c
  curl http://{front}/users -H "Authorization: Bearer $TOKEN" -H "X-Version: v2"

Circuit breaker: both versions fail, it opens (503, Retry-After); they recover, it closes
  curl http://{v1}/fail?on=true; curl http://{v2}/fail?on=true
  for i in $(seq 10); do curl -si http://{front}/users -H "Authorization: Bearer $TOKEN" | head -1; done
  curl http://{v1}/fail?on=false; curl http://{v2}/fail?on=false

Live swap: change the weights, repeat the canary lines; nothing is dropped
  sed -i 's/weight = 90/weight = 20/; s/weight = 10/weight = 80/' {config}

What it looks like from the inside
  curl -s http://{admin}/filters
  curl -s http://{admin}/clusters
  curl -s http://{admin}/metrics

Ctrl-C drains and ends."#
    ))
}
