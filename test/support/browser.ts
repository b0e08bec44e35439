const REDIRECTS_MAX = 20;

/** What a browser shows in the end. */
export interface Page {
  readonly url: URL;
  /** 0 where it was told to stop before the last address was asked for. */
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** As much of a browser as signing in takes: it follows redirects and keeps cookies by host, as browsers do whatever the port. */
export interface Browser {
  /** Follows redirects from an address; stops in front of the first address that `isEnd` names. */
  readonly follow: (address: string | URL, isEnd?: (url: URL) => boolean) => Promise<Page>;
  /** The cookies of all hosts, by their names. */
  readonly cookies: Map<string, string>;
}

export function openBrowser(
  cookies = new Map<string, string>(),
  headers: Readonly<Record<string, string>> = {},
): Browser {
  async function follow(address: string | URL, isEnd: (url: URL) => boolean = () => false): Promise<Page> {
    let url = new URL(address);
    for (let count = 0; count < REDIRECTS_MAX; count += 1) {
      if (isEnd(url)) return { url, status: 0, headers: new Headers(), text: "" };
      const answer = await fetch(url, {
        redirect: "manual",
        headers: { ...headers, Accept: "text/html", Cookie: cookieHeader() },
      });
      for (const cookie of answer.headers.getSetCookie()) keep(cookie);
      const location = answer.headers.get("location");
      if (location === null) return { url, status: answer.status, headers: answer.headers, text: await answer.text() };
      await answer.body?.cancel();
      url = new URL(location, url);
    }
    throw new Error("redirected for ever");
  }

  function cookieHeader(): string {
    return [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  }

  function keep(cookie: string): void {
    const [pair = "", ...attributes] = cookie.split(";");
    const [name = "", ...value] = pair.split("=");
    const isOver = attributes.some((attribute) => /^\s*(max-age=0|expires=thu, 01 jan 1970)/i.test(attribute));
    if (isOver) cookies.delete(name.trim());
    else cookies.set(name.trim(), value.join("="));
  }

  return { follow, cookies };
}
