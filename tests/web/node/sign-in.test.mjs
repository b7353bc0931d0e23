// Who says what of the user, and when.
import assert from "node:assert/strict";
import { test } from "node:test";

import { SignIn } from "../../../web/sign-in.js";

const said = (message) => (message === null ? null : JSON.parse(message));

test("a token is said as the first message", async () => {
  assert.deepEqual(said(await new SignIn("a.b.c").first()), { type: "auth", token: "a.b.c" });
});

test("without a token nothing is said", async () => {
  for (const nothing of [undefined, null, "", () => null, async () => undefined]) {
    const signIn = new SignIn(nothing);

    assert.equal(await signIn.first(), null);
    assert.equal(await signIn.again(), null);
  }
});

test("a function is asked anew for every connection", async () => {
  let number = 0;
  const signIn = new SignIn(async () => `token-${(number += 1)}`);

  assert.equal(said(await signIn.first()).token, "token-1");
  assert.equal(said(await signIn.first()).token, "token-2");
});

test("a function that has no token says an empty one, so that the server tells what is wrong", async () => {
  const failing = () => {
    throw new Error("signed out");
  };

  assert.equal(said(await new SignIn(failing).first()).token, "");
  assert.equal(said(await new SignIn(async () => failing()).first()).token, "");
  assert.equal(said(await new SignIn(() => "").first()).token, "");
});

test("when a token has expired, only another one is said", async () => {
  let token = "old";
  const signIn = new SignIn(() => token);
  await signIn.first();

  assert.equal(await signIn.again(), null);
  token = "new";
  assert.equal(said(await signIn.again()).token, "new");
  assert.equal(await signIn.again(), null);
  token = "";
  assert.equal(await signIn.again(), null);
});

test("a token is not to be seen from outside", () => {
  assert.equal(JSON.stringify(new SignIn("secret")), "{}");
});
