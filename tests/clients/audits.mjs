import { auditServer } from 'graphql-http';

const results = await auditServer({ url: process.argv[2] });
process.stdout.write(JSON.stringify(results.map(({ name, status, reason }) => ({ name, status, reason }))) + '\n');
