// For work on the page: what was built last, with a real node behind it, without building Rust.
import { fileURLToPath } from 'node:url';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { join, normalize, resolve } from 'node:path';

const assets = fileURLToPath(new URL('../../crates/tandem-console/assets', import.meta.url));
const kinds = { html: 'text/html; charset=utf-8', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };
// The page is tried under the rule that it will be served with.
const rule = readFileSync(resolve(assets, '../src/page.rs'), 'utf8')
  .match(/CONTENT_SECURITY: &str = "([^"]*)"/)[1].replace(/\\\n\s*/g, '');

export function proxy(target, port) {
  const server = http.createServer((request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    if (path.startsWith('/api/')) {
      const to = http.request(`${target}${request.url}`, { method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      to.on('error', () => response.destroy());
      response.on('close', () => to.destroy());
      request.pipe(to);
      return;
    }
    const file = join(assets, normalize(path === '/' ? '/index.html' : path));
    if (!existsSync(file)) { response.writeHead(404).end(); return; }
    response.writeHead(200, { 'content-type': kinds[file.slice(file.lastIndexOf('.') + 1)], 'content-security-policy': rule });
    createReadStream(file).pipe(response);
  });
  return new Promise((ready) => server.listen(port, '127.0.0.1', () => ready(server)));
}
