/**
 * What AWS charges, in dollars and in one region. Change a price here and nowhere else; `docs/aws.md` quotes what
 * `estimate.ts` makes of them, and a test compares.
 */

/** A price. */
export interface Price {
  readonly usd: number;
  /** For how much. */
  readonly per: string;
  /** The page of AWS's that has it. */
  readonly page: string;
}

/** The region of the prices. Others are mostly within a third of it. */
export const REGION = 'us-east-1';

/**
 * When they were last looked at. AWS's own pages were out of reach then: Fargate's and EFS's are as others quoted them in
 * 2026, the rest as they have been for years. Look at the pages before you rely on a cent.
 */
export const SEEN = '2026-11-21';

/** The hours of a month, as AWS counts them. */
export const HOURS = 730;

const FARGATE = 'AWS Fargate Pricing, https://aws.amazon.com/fargate/pricing/';
const EFS = 'Amazon EFS Pricing, https://aws.amazon.com/efs/pricing/';
const CLOUDWATCH = 'Amazon CloudWatch Pricing, https://aws.amazon.com/cloudwatch/pricing/';
const DYNAMODB = 'Amazon DynamoDB Pricing, https://aws.amazon.com/dynamodb/pricing/on-demand/';

/** The prices. */
export const PRICES = {
  coreHourAmd64: { usd: 0.04048, per: 'vCPU and hour, Linux on x86', page: FARGATE },
  gbHourAmd64: { usd: 0.004445, per: 'GB and hour, Linux on x86', page: FARGATE },
  coreHourArm64: { usd: 0.03238, per: 'vCPU and hour, Linux on ARM', page: FARGATE },
  gbHourArm64: { usd: 0.00356, per: 'GB and hour, Linux on ARM', page: FARGATE },
  addressHour: {
    usd: 0.005,
    per: 'public IPv4 address and hour',
    page: 'Amazon VPC Pricing, https://aws.amazon.com/vpc/pricing/',
  },
  filesGb: { usd: 0.3, per: 'GB and month, EFS Standard', page: EFS },
  coldFilesGb: { usd: 0.025, per: 'GB and month, EFS Infrequent Access; reading adds 0.01 a GB', page: EFS },
  archivesGb: {
    usd: 0.023,
    per: 'GB and month, S3 Standard',
    page: 'Amazon S3 Pricing, https://aws.amazon.com/s3/pricing/',
  },
  imagesGb: { usd: 0.1, per: 'GB and month, ECR', page: 'Amazon ECR Pricing, https://aws.amazon.com/ecr/pricing/' },
  logsGb: { usd: 0.5, per: 'GB of log lines taken in, after 5 GB a month', page: CLOUDWATCH },
  indexReads: { usd: 0.125, per: 'million read units', page: DYNAMODB },
  trafficGb: {
    usd: 0.09,
    per: 'GB sent to the internet, after 100 GB a month',
    page: 'Amazon EC2 On-Demand Pricing, https://aws.amazon.com/ec2/pricing/on-demand/',
  },
} as const satisfies Readonly<Record<string, Price>>;

/**
 * What a Spot task costs of an on-demand one. AWS says "up to 70 % off" and changes it with supply; the page of Fargate's
 * prices shows today's.
 */
export const SPOT_SHARE = 0.3;
