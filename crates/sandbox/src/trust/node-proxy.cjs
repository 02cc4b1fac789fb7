// Loaded before every Node program in a sandbox. Node 24, and 22 from 22.21 on, read the proxy's address from the environment
// by themselves; older versions do not, so there the built-in fetch and the modules http and https are pointed to it here.
// Nothing of it guards anything: there is no other way out, with or without this file.
'use strict';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 && !(major === 22 && minor >= 21) && process.env.HTTPS_PROXY) {
  const proxy = new URL(process.env.HTTPS_PROXY);
  const isDirect = (host) => {
    const bare = String(host || 'localhost').replace(/^\[|\]$/g, '').toLowerCase();
    const names = (process.env.NO_PROXY || '').split(',').map((name) => name.trim().toLowerCase());
    return names.some((name) => name && (bare === name || bare.endsWith('.' + name)));
  };
  const authority = (host, port) => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host) + ':' + port;

  const origin = (host, port) => (!port || Number(port) === 80 ? authority(host, 80).slice(0, -3) : authority(host, port));

  // Opens a tunnel through the proxy and speaks TLS in it.
  const tunnel = (host, port, tls, done) => {
    const http = require('node:http');
    const request = http.request({
      host: proxy.hostname,
      port: proxy.port,
      method: 'CONNECT',
      path: authority(host, port),
      headers: { host: authority(host, port) },
      agent: new http.Agent(),
    });
    request.once('connect', (response, socket, head) => {
      if (response.statusCode !== 200) {
        const why = String(response.headers['x-factotum-refused'] || head || '').trim();
        socket.destroy();
        done(new Error(`the proxy refused ${host}:${port} (${response.statusCode}) ${why}`.trim()));
        return;
      }
      const { hostname, host: _host, port: _port, path: _path, socket: _socket, ...options } = tls;
      const secure = require('node:tls').connect({ ...options, socket, servername: tls.servername || host });
      secure.once('secureConnect', () => done(null, secure));
      secure.once('error', done);
    });
    request.once('error', done);
    request.end();
  };

  // The built-in fetch takes its connections from a dispatcher that all copies of undici share by this symbol.
  const symbol = Symbol.for('undici.globalDispatcher.1');
  const install = () => {
    // Touching the class loads undici, which then sets its dispatcher.
    void globalThis.Headers;
    const Agent = globalThis[symbol] && globalThis[symbol].constructor;
    if (typeof Agent !== 'function') return;
    const direct = globalThis[symbol];
    const tunnels = new Agent({
      connect: (options, done) =>
        tunnel(options.hostname, options.port || 443, { servername: options.servername, ALPNProtocols: ['http/1.1'] }, done),
    });
    class Dispatcher extends Agent {
      dispatch(options, handler) {
        const origin = new URL(options.origin);
        if (isDirect(origin.hostname)) return direct.dispatch(options, handler);
        if (origin.protocol === 'https:') return tunnels.dispatch(options, handler);
        // Undici takes names and values by turns, or as an object.
        const headers = Array.isArray(options.headers)
          ? [...options.headers, 'host', origin.host]
          : { ...options.headers, host: origin.host };
        return direct.dispatch({ ...options, origin: proxy.origin, path: origin.origin + options.path, headers }, handler);
      }
    }
    try {
      globalThis[symbol] = new Dispatcher();
    } catch {
      // A program that froze its own dispatcher keeps it.
    }
  };
  const original = globalThis.fetch;
  if (typeof original === 'function') {
    let installed = false;
    globalThis.fetch = function fetch(input, init) {
      if (!installed) {
        installed = true;
        install();
      }
      return original.call(this, input, init);
    };
  }

  // The modules: requests without an agent of their own go through agents that know the proxy.
  const http = require('node:http');
  const https = require('node:https');
  const keep = { keepAlive: true, scheduling: 'lifo', timeout: 5000 };
  class HttpsProxyAgent extends https.Agent {
    createConnection(options, done) {
      const host = options.host || options.hostname || 'localhost';
      if (options.socketPath || isDirect(host)) return super.createConnection(options, done);
      tunnel(host, options.port || 443, options, done);
      return undefined;
    }
  }
  https.globalAgent = new HttpsProxyAgent(keep);
  class HttpProxyAgent extends http.Agent {
    addRequest(request, options, ...rest) {
      const host = options.host || options.hostname || 'localhost';
      if (options.socketPath || isDirect(host)) return super.addRequest(request, options, ...rest);
      if (request.path.startsWith('/')) {
        request.path = `http://${origin(host, options.port)}${request.path}`;
      }
      return super.addRequest(request, { ...options, host: proxy.hostname, port: proxy.port }, ...rest);
    }
  }
  http.globalAgent = new HttpProxyAgent(keep);
}
