const { DATABASE_URL, DATABASE_POOL_MAX = "20", PORT } = process.env;

if (DATABASE_URL === undefined || PORT === undefined) throw new Error("DATABASE_URL and PORT are required");

/** What `npm run bench` tells each server. */
export const settings = { databaseUrl: DATABASE_URL, poolMax: Number(DATABASE_POOL_MAX), port: Number(PORT) };
