// One line "METHOD URL [BODY]" on stdin, one line with the status on stdout.
import http from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [name, modules] = process.argv.slice(2);
const load = async (wanted) => {
  const found = createRequire(`${modules}/`).resolve(wanted);
  return (await import(pathToFileURL(found))).default;
};

const libraries = {
  async fetch() {
    return async (url, method, body) => (await fetch(url, { method, body })).status;
  },
  async http() {
    return (url, method, body) => new Promise((done, failed) => {
      const request = http.request(url, { method }, (answer) => {
        answer.resume();
        answer.on("end", () => done(answer.statusCode));
      });
      request.on("error", failed);
      request.end(body);
    });
  },
  async axios() {
    const axios = await load("axios");
    const options = { validateStatus: null, proxy: false };
    return async (url, method, data) => (await axios({ url, method, data, ...options })).status;
  },
  async got() {
    const got = await load("got");
    const options = { throwHttpErrors: false, retry: { limit: 0 } };
    return async (url, method, body) => (await got(url, { method, body, ...options })).statusCode;
  },
  async "node-fetch"() {
    const nodeFetch = await load("node-fetch");
    return async (url, method, body) => (await nodeFetch(url, { method, body })).status;
  },
};

const ask = await libraries[name]();
for await (const line of createInterface({ input: process.stdin })) {
  const [method, url, body] = line.split(" ");
  // a library that throws where nobody can catch it (node-fetch 3, a POST) ends the one request
  const thrown = new Promise((_, failed) => process.once("uncaughtException", failed));
  try {
    console.log(await Promise.race([ask(url, method, body), thrown]));
  } catch (error) {
    console.log(`0 ${String(error.cause ?? error).split("\n")[0]}`);
  }
  process.removeAllListeners("uncaughtException");
}
