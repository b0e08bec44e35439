import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, mkdirSync, statSync } from "node:fs";

interface Ids {
  readonly uid: number;
  readonly gid: number;
}

/** How PostgreSQL's programs are run: as whom, and behind which command. */
export interface RunAs {
  /** Who owns the cluster's files; undefined: whoever runs the gateway. */
  readonly owner: Ids | undefined;
  /** What the system is asked to change when the process is made. */
  readonly ids: Ids | undefined;
  /** The command and arguments that run `program`. */
  readonly command: (
    program: string,
    args: readonly string[],
  ) => { readonly file: string; readonly args: readonly string[] };
}

const plainly: RunAs["command"] = (program, args) => ({ file: program, args });

/**
 * PostgreSQL refuses to run as root. When the gateway does, the owner of the cluster's folder runs PostgreSQL, or the user
 * `postgres`, who is created where there is none. Folders above that this user may not pass, such as /root, are left as they are:
 * the process is then given the one capability it needs to pass them.
 *
 * @param folder the cluster's folder; made, and given to the user, when it does not exist.
 * @param program any program of PostgreSQL, to see whether the user can reach it.
 * @throws Error when no way is found, naming what can be done.
 */
export function chooseUser(folder: string, program: string): RunAs {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (process.getuid?.() !== 0) return { owner: undefined, ids: undefined, command: plainly };
  const { uid, gid } = statSync(folder);
  const ids = uid === 0 ? postgresUser() : { uid, gid };
  if (uid === 0) chownSync(folder, ids.uid, ids.gid);
  // The first that lets the user reach both program and folder. The second capability includes writing, so it comes last.
  const ways: RunAs[] = [
    { owner: ids, ids, command: plainly },
    { owner: ids, ids: undefined, command: withCapability(ids, "dac_read_search") },
    { owner: ids, ids: undefined, command: withCapability(ids, "dac_override") },
  ];
  const way = ways.find((candidate) => canReach(candidate, folder, program));
  if (way === undefined) {
    throw new Error(
      `PostgreSQL cannot run as root, and the user with id ${ids.uid} cannot reach ${folder} and ${program}. ` +
        "Run Atrium as an ordinary user, or put it and DATA_DIR into folders that all users may pass.",
    );
  }
  return way;
}

function withCapability({ uid, gid }: Ids, capability: string): RunAs["command"] {
  const options = [
    `--reuid=${uid}`,
    `--regid=${gid}`,
    "--clear-groups",
    `--inh-caps=+${capability}`,
    `--ambient-caps=+${capability}`,
  ];
  return (program, args) => ({ file: "setpriv", args: [...options, "--", program, ...args] });
}

function canReach({ ids, command }: RunAs, folder: string, program: string): boolean {
  const { file, args } = command("/bin/sh", ["-c", 'test -x "$1" && test -r "$1" && cd "$2"', "sh", program, folder]);
  return spawnSync(file, args, { ...ids, cwd: "/", stdio: "ignore" }).status === 0;
}

function postgresUser(): Ids {
  const found = lookUpPostgres();
  if (found !== undefined) return found;
  try {
    execFileSync("groupadd", ["--system", "postgres"], { stdio: "ignore" });
    execFileSync("useradd", ["--system", "--gid", "postgres", "--no-create-home", "postgres"], { stdio: "ignore" });
  } catch (error) {
    throw new Error(
      "PostgreSQL cannot run as root, and the user postgres could not be created. Run Atrium as an ordinary user.",
      { cause: error },
    );
  }
  const created = lookUpPostgres();
  if (created === undefined)
    throw new Error("PostgreSQL cannot run as root, and the user postgres was created but is not found.");
  return created;
}

function lookUpPostgres(): Ids | undefined {
  const [uid, gid] = ["-u", "-g"].map((flag) => {
    const { status, stdout } = spawnSync("id", [flag, "postgres"], { encoding: "utf8" });
    return status === 0 ? Number(stdout) : undefined;
  });
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}
