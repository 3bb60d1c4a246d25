const ws = new WebSocket(`ws://${location.host}/ws`);
ws.binaryType = "arraybuffer";
ws.onopen = () => ws.send(JSON.stringify({ op: "start" }));
