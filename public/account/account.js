// The pages that mails and outside providers lead to. They speak GraphQL like any other client, and keep tokens in memory alone.

/** The ids of documents in documents.json, which the gateway trusts whatever else it may refuse. */
const OPERATIONS = {
  signIn: "account/sign-in",
  complete: "account/complete",
  forgot: "account/forgot",
  setPassword: "account/set-password",
  verify: "account/verify",
  changePassword: "account/change-password",
  signOut: "account/sign-out",
};

/** How fields are called in front of what is wrong with them. */
const NAMES = {
  email: "The address",
  password: "The password",
  newPassword: "The password",
  token: "The link",
  code: "The code",
};

const page = location.pathname.split("/").at(-1);
const secrets = new URLSearchParams(location.hash.slice(1));
const tenant = new URLSearchParams(location.search).get("tenant") ?? "";
let accessToken;

// A token in the address would stay in the browser's history.
history.replaceState(null, "", location.pathname + location.search);

const sections = {
  "sign-in": ({ tenant: named, ...input }) => ask(OPERATIONS.signIn, { input }, { tenant: named }).then(enter),
  forgot: async ({ tenant: named, email }) => {
    await ask(OPERATIONS.forgot, { email }, { tenant: named });
    say("If there is somebody with this address, a mail is on its way to them. Its link works for an hour.");
  },
  reset: setPassword,
  welcome: setPassword,
  verify: async () => {
    const { user } = await ask(OPERATIONS.verify, { token: secrets.get("token") });
    say(`${user.email} is confirmed.`);
  },
  "signed-in": async (input) => {
    enter(await ask(OPERATIONS.changePassword, { input }, { accessToken }));
    say("The password is changed. All other devices are signed out.");
  },
};

for (const [name, act] of Object.entries(sections)) {
  const section = sectionOf(name);
  const form = section.querySelector("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void busy(section, () => act(Object.fromEntries(new FormData(form))));
  });
}
for (const field of document.querySelectorAll("input[name=tenant]")) field.value = tenant;
for (const link of document.querySelectorAll("[data-keeps-tenant]")) link.search = location.search;
onClick("copy", () => navigator.clipboard.writeText(document.querySelector("[data-header]").value));
onClick("sign-out", () => signOut(false));
onClick("sign-out-everywhere", () => signOut(true));
await begin();

async function begin() {
  const needsToken = ["reset", "welcome", "verify"].includes(page);
  if (needsToken && !secrets.get("token")) {
    show(undefined);
    return say("This link is not whole. Open it from the mail again, or ask for another one.", "problem");
  }
  show(page in sections && page !== "signed-in" ? page : "sign-in");
  if (secrets.get("code"))
    await busy(sectionOf("sign-in"), () => ask(OPERATIONS.complete, { code: secrets.get("code") }).then(enter));
  else if (page === "sign-in") await offerProviders();
}

async function offerProviders() {
  const response = await fetch(`/auth/providers?tenant=${encodeURIComponent(tenant)}`);
  if (!response.ok) return;
  for (const { id, name } of await response.json()) {
    const link = document.createElement("a");
    link.className = "provider";
    link.textContent = `Sign in with ${name}`;
    link.href = `/auth/start?${new URLSearchParams({ tenant, provider: id, redirect: `${location.origin}/account/sign-in` })}`;
    document.querySelector("[data-providers]").append(link);
  }
}

async function setPassword({ newPassword, again }) {
  if (newPassword !== again) throw new Error("The two passwords differ.");
  enter(await ask(OPERATIONS.setPassword, { input: { token: secrets.get("token"), newPassword } }));
}

async function signOut(all) {
  await ask(OPERATIONS.signOut, { all }, { accessToken });
  accessToken = undefined;
  show("sign-in");
  say(all ? "You are signed out on all devices." : "You are signed out.");
}

function enter(credentials) {
  accessToken = credentials.accessToken;
  const { email, name, role } = credentials.user;
  document.querySelector("[data-who]").textContent = `${name ?? email} (${role.toLowerCase()})`;
  document.querySelector("[data-header]").value = JSON.stringify({ Authorization: `Bearer ${accessToken}` });
  for (const form of document.forms) form.reset();
  show("signed-in");
}

/** @throws Error with words for the person. */
async function ask(documentId, variables, { tenant: named, accessToken: token } = {}) {
  const headers = { "Content-Type": "application/json" };
  if (named) headers["X-Tenant-ID"] = named.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = JSON.stringify({ documentId, variables });
  const response = await fetch("/graphql", { method: "POST", headers, body });
  const { data, errors } = await response.json();
  if (!errors) return data.done;
  const [{ message, extensions }] = errors;
  const problems = extensions.fields?.map(
    (field) => `${NAMES[field.path.split(".").at(-1)] ?? field.path} ${field.message}.`,
  );
  throw new Error(problems?.join(" ") ?? message);
}

async function busy(section, work) {
  say("");
  const buttons = section.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  try {
    await work();
  } catch (error) {
    say(error instanceof TypeError ? "The gateway cannot be reached. Please try again." : error.message, "problem");
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function onClick(action, work) {
  const button = document.querySelector(`[data-action=${action}]`);
  button.addEventListener("click", () => void busy(button.closest("section"), work));
}

function sectionOf(name) {
  return document.querySelector(`[data-page="${name}"]`);
}

function show(name) {
  for (const section of document.querySelectorAll("[data-page]")) section.hidden = section.dataset.page !== name;
}

function say(text, kind = "news") {
  const place = document.querySelector("[data-said]");
  place.textContent = text;
  place.dataset.kind = kind;
}
